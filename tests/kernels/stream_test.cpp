#include "kernels/cpu/stream.hpp"

#include <doctest/doctest.h>

#include <cstdint>

#include "base/error.hpp"

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

TEST_CASE("stream: the hook between pieces of work is called as often as it is asked for, until it is taken away") {
  cpu::Stream stream;
  int calls = 0;
  stream.between_pieces();
  stream.set_between_pieces([&] { ++calls; });
  stream.between_pieces();
  stream.between_pieces();
  CHECK(calls == 2);
  stream.set_between_pieces({});
  stream.between_pieces();
  CHECK(calls == 2);
}
