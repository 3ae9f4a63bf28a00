#include "kernels/cpu/stream.hpp"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "base/buffer.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "kernels/cpu/bodies.hpp"

namespace moemill::cpu {

const Bodies& bodies_of(Isa isa) {
  switch (isa) {
    case Isa::Plain: return plain_bodies;
    case Isa::Avx2: return avx2_bodies;
    case Isa::Avx512:
    case Isa::Avx512Bf16:
    case Isa::Amx: return avx512_bodies;
  }
  throw ContractViolation("an instruction set has a name");
}

const GemmBody& gemm_body_of(Isa isa) {
  switch (isa) {
    case Isa::Plain: return plain_gemm;
    case Isa::Avx2: return avx2_gemm;
    case Isa::Avx512: return avx512_gemm;
    case Isa::Avx512Bf16: return avx512_bf16_gemm;
    case Isa::Amx: return amx_gemm;
  }
  throw ContractViolation("an instruction set has a name");
}

const Int8Gemm& int8_gemm_of(Int8Unit unit) {
  switch (unit) {
    case Int8Unit::Plain: return plain_int8_gemm;
    case Int8Unit::Avx2: return avx2_int8_gemm;
    case Int8Unit::AvxVnni: return avxvnni_int8_gemm;
    case Int8Unit::Avx512: return avx512_int8_gemm;
    case Int8Unit::Avx512Vnni: return avx512vnni_int8_gemm;
    case Int8Unit::Amx: return amx_int8_gemm;
  }
  throw ContractViolation("a unit for int8 has a name");
}

namespace {

// The processor's tiles, the system's saving of their state, and its leave to use them, which a process asks for once.
bool tiles_available() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned saves_state = 1u << 27, amx_bf16 = 1u << 22, amx_tile = 1u << 24, tile_state = 3u << 17;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & saves_state) == 0) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & amx_bf16) == 0 || (d & amx_tile) == 0) return false;
  unsigned low = 0, high = 0;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return (low & tile_state) == tile_state && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

// Instructions for int8 by CPUID: not every compiler's __builtin_cpu_supports knows their names.
struct DotSupport {
  bool avx512vnni = false, avxvnni = false, amx_int8 = false;
};
DotSupport dot_support() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  DotSupport has;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) has.avx512vnni = (c >> 11) & 1, has.amx_int8 = (d >> 25) & 1;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) has.avxvnni = (a >> 4) & 1;
  return has;
}

}  // namespace

bool available(Isa isa) {
  switch (isa) {
    case Isa::Plain: return true;
    case Isa::Avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::Avx512:
      return available(Isa::Avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case Isa::Avx512Bf16: return available(Isa::Avx512) && __builtin_cpu_supports("avx512bf16");
    case Isa::Amx: return available(Isa::Avx512) && tiles_available();
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
    case Isa::Avx512Bf16: return "avx512_bf16";
    case Isa::Amx: return "amx";
  }
  return "unknown";
}

Isa parse_isa(std::string_view text) {
  for (Isa isa : all_isas) {
    if (text != name(isa)) continue;
    if (!available(isa))
      user_error("instruction set {}: this CPU does not have it, or the system does not allow it; {} is there", text,
                 name(best_isa()));
    return isa;
  }
  user_error("instruction set '{}' is unknown; write plain, avx2, avx512, avx512_bf16 or amx", text);
}

bool available(Int8Unit unit) {
  switch (unit) {
    case Int8Unit::Plain: return true;
    case Int8Unit::Avx2: return available(Isa::Avx2);
    case Int8Unit::AvxVnni: return available(Isa::Avx2) && dot_support().avxvnni;
    case Int8Unit::Avx512: return available(Isa::Avx512);
    case Int8Unit::Avx512Vnni: return available(Isa::Avx512) && dot_support().avx512vnni;
    case Int8Unit::Amx: return available(Isa::Amx) && dot_support().amx_int8;
  }
  return false;
}

std::string_view name(Int8Unit unit) {
  switch (unit) {
    case Int8Unit::Plain: return "plain";
    case Int8Unit::Avx2: return "avx2";
    case Int8Unit::AvxVnni: return "avx_vnni";
    case Int8Unit::Avx512: return "avx512";
    case Int8Unit::Avx512Vnni: return "avx512_vnni";
    case Int8Unit::Amx: return "amx_int8";
  }
  return "unknown";
}

std::span<const Int8Unit> int8_units_of(Isa isa) {
  static constexpr Int8Unit units[] = {Int8Unit::Amx,     Int8Unit::Avx512Vnni, Int8Unit::Avx512,
                                       Int8Unit::AvxVnni, Int8Unit::Avx2,       Int8Unit::Plain};
  switch (isa) {
    case Isa::Plain: return std::span(units).last(1);
    case Isa::Avx2: return std::span(units).last(3);
    case Isa::Avx512:
    case Isa::Avx512Bf16: return std::span(units).last(5);
    case Isa::Amx: return units;
  }
  throw ContractViolation("an instruction set has a name");
}

Int8Unit best_int8_unit(Isa isa) {
  for (Int8Unit unit : int8_units_of(isa)) {
    if (available(unit)) return unit;
  }
  return Int8Unit::Plain;
}

struct Stream::Scratch {
  std::vector<Buffer<std::byte>> of_thread;
};

Stream::Stream(Isa isa, int threads) : Stream(isa, best_int8_unit(isa), threads) {}

Stream::Stream(Isa isa, Int8Unit int8, int threads)
    : Stream(bodies_of(isa), gemm_body_of(isa), int8_gemm_of(int8), threads) {
  expect(available(isa) && available(int8), "the stream's instruction sets are available");
}

Stream::Stream(const Bodies& bodies, const GemmBody& gemm_body, const Int8Gemm& int8_gemm, int threads)
    : bodies_(&bodies),
      gemm_body_(&gemm_body),
      int8_gemm_(&int8_gemm),
      team_(std::make_unique<ThreadTeam>(threads)),
      scratch_(std::make_unique<Scratch>()) {
  scratch_->of_thread.resize(static_cast<std::size_t>(threads));
}

Stream::~Stream() = default;

PairOrder Stream::order() const { return gemm_body_->order; }
bool Stream::reads(PairOrder order) const { return gemm_body_ == &plain_gemm || order == gemm_body_->order; }

void Stream::set_between_pieces(std::function<void()> hook, double interval) {
  between_pieces_ = std::move(hook);
  hook_interval_ = interval;
  hook_due_ = 0;
}

void Stream::call_hook_if_due() {
  if (now_seconds() < hook_due_) return;
  between_pieces_();
  hook_due_ = now_seconds() + hook_interval_;
}

std::byte* Stream::scratch(int thread, std::size_t bytes) {
  return scratch_->of_thread[static_cast<std::size_t>(thread)].reserve(bytes);
}

}  // namespace moemill::cpu
