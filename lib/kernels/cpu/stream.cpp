#include "kernels/cpu/stream.hpp"

#include <vector>

#include "base/buffer.hpp"
#include "base/error.hpp"
#include "kernels/cpu/bodies.hpp"

namespace moemill::cpu {

namespace {

const Bodies& bodies_of(Isa isa) {
  switch (isa) {
    case Isa::Plain: return plain_bodies;
    case Isa::Avx2: return avx2_bodies;
    case Isa::Avx512: return avx512_bodies;
  }
  throw ContractViolation("an instruction set has a name");
}

}  // namespace

bool available(Isa isa) {
  switch (isa) {
    case Isa::Plain: return true;
    case Isa::Avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::Avx512:
      return available(Isa::Avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  }
  return false;
}

Isa best_isa() {
  if (available(Isa::Avx512)) return Isa::Avx512;
  return available(Isa::Avx2) ? Isa::Avx2 : Isa::Plain;
}

std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::Plain: return "plain";
    case Isa::Avx2: return "avx2";
    case Isa::Avx512: return "avx512";
  }
  return "unknown";
}

Isa parse_isa(std::string_view text) {
  for (Isa isa : {Isa::Plain, Isa::Avx2, Isa::Avx512}) {
    if (text != name(isa)) continue;
    if (!available(isa))
      user_error("instruction set {}: this CPU does not have it; its best is {}", text, name(best_isa()));
    return isa;
  }
  user_error("instruction set '{}' is unknown; write plain, avx2 or avx512", text);
}

struct Stream::Scratch {
  std::vector<Buffer<std::byte>> of_thread;
};

Stream::Stream(Isa isa, int threads) : isa_(isa), bodies_(&bodies_of(isa)) {
  expect(available(isa), "the stream's instruction set is available");
  team_ = std::make_unique<ThreadTeam>(threads);
  scratch_ = std::make_unique<Scratch>();
  scratch_->of_thread.resize(static_cast<std::size_t>(threads));
}

Stream::~Stream() = default;

std::byte* Stream::scratch(int thread, std::size_t bytes) {
  return scratch_->of_thread[static_cast<std::size_t>(thread)].reserve(bytes);
}

}  // namespace moemill::cpu
