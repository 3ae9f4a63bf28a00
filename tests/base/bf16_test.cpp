#include "base/numbers/bf16.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

using namespace moemill;

TEST_CASE("bf16 rounds to nearest, ties to even, and keeps NaN") {
  CHECK(to_bf16(1.0f).bits == 0x3f80);
  CHECK(to_bf16(std::bit_cast<float>(0x3f808000u)).bits == 0x3f80);  // a tie: down to even
  CHECK(to_bf16(std::bit_cast<float>(0x3f818000u)).bits == 0x3f82);  // a tie: up to even
  CHECK(to_bf16(std::bit_cast<float>(0x3f808001u)).bits == 0x3f81);
  CHECK(to_bf16(std::numeric_limits<float>::max()).bits == 0x7f80);  // overflows to infinity
  CHECK(to_bf16(-0.0f).bits == 0x8000);
  CHECK(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001u)))));  // payload only in the low half
  for (std::uint32_t bits = 0; bits < 0x10000; bits++) {
    bf16 x{static_cast<std::uint16_t>(bits)};
    if (std::isnan(to_float(x))) continue;
    REQUIRE(to_bf16(to_float(x)) == x);
  }
}
