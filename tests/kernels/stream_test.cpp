#include "kernels/cpu/stream.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "gemm_support.hpp"
#include "kernels/rows.hpp"

using namespace moemill;
using cpu::Isa;

TEST_CASE("stream: instruction sets have names, and unknown ones are the user's error") {
  CHECK(cpu::available(Isa::Plain));
  CHECK(cpu::available(cpu::best_isa()));
  for (Isa isa : cpu::all_isas) {
    if (cpu::available(isa))
      CHECK(cpu::parse_isa(cpu::name(isa)) == isa);
    else
      CHECK_THROWS_AS(cpu::parse_isa(cpu::name(isa)), UserError);
  }
  CHECK_THROWS_AS(cpu::parse_isa("sse"), UserError);
  CHECK_THROWS_AS(cpu::parse_isa(""), UserError);
}

TEST_CASE("stream: scratch is aligned and private to a thread") {
  cpu::Stream stream(Isa::Plain, 2);
  std::byte* a = stream.scratch(0, 100);
  std::byte* b = stream.scratch(1, 5000);
  CHECK(reinterpret_cast<std::uintptr_t>(a) % 64 == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(b) % 64 == 0);
  CHECK(a != b);
  CHECK(stream.scratch(1, 4000) == b);
}

TEST_CASE("stream: the hook between pieces of work is called on the first thread, once the interval has passed") {
  cpu::Stream stream;
  int calls = 0;
  stream.between_pieces(0);
  stream.set_between_pieces([&] { ++calls; }, 0);
  stream.between_pieces(0);
  stream.between_pieces(0);
  stream.between_pieces(1);
  CHECK(calls == 2);
  stream.set_between_pieces([&] { ++calls; }, 3600);
  for (int i = 0; i < 5; ++i) stream.between_pieces(0);
  CHECK(calls == 3);
  stream.set_between_pieces({});
  stream.between_pieces(0);
  CHECK(calls == 3);
}

TEST_CASE("stream: products and kernels over rows ask for the hook all the time, on the thread that drives them") {
  const std::size_t rows = 168;
  const std::uint32_t k = 600, n = 400;  // two blocks of inputs, thirteen panels of outputs
  const test::Weights weights(k, n, 1);
  const auto a = test::random_bf16(rows * k, 2);
  auto x = test::random_floats(4096 * 64, 3);
  const std::vector<float> weight(64, 1.0f);
  std::vector<float> c(rows * n);
  for (int threads : {1, 2}) {
    cpu::Stream stream(Isa::Plain, threads);
    int calls = 0;
    const std::thread::id driver = std::this_thread::get_id();
    const auto hook = [&] {
      ++calls;
      CHECK(std::this_thread::get_id() == driver);
    };
    stream.set_between_pieces(hook, 0);
    cpu::gemm(stream, test::rows_of(a, rows, k), weights.view(stream.order()), Rows<float>(c.data(), rows, n));
    CHECK(calls >= 6 / threads);  // a block of inputs goes in five parts, the second one, which is short, in one
    calls = 0;
    const Rows<float> values(x.data(), 4096, 64);
    cpu::rms_norm(stream, values, {weight.data(), 64}, 1e-6f, {}, values);
    CHECK(calls >= 4096 * 64 / 16384 / threads);
  }
}
