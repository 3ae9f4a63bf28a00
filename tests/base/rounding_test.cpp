#include "base/numbers/rounding.hpp"

#include <doctest/doctest.h>

#include <cstdint>

#include "base/timer.hpp"

using namespace moemill;

TEST_CASE("pieces and multiples round up") {
  CHECK(divide_up(0u, 64u) == 0);
  CHECK(divide_up(64u, 64u) == 1);
  CHECK(divide_up(65u, 64u) == 2);
  CHECK(round_up<std::uint64_t>(1, 32) == 32);
  CHECK(round_up<std::uint64_t>(96, 32) == 96);
}

TEST_CASE("a scope's time is added") {
  double seconds = 1;
  { const ScopeTimer timer(seconds); }
  CHECK(seconds >= 1);
  CHECK(seconds < 2);
}
