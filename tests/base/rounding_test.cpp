#include "base/numbers/rounding.hpp"

#include <doctest/doctest.h>

#include <cstdint>

#include "base/passes.hpp"

using namespace moemill;

TEST_CASE("pieces and multiples round up") {
  CHECK(divide_up(0u, 64u) == 0);
  CHECK(divide_up(64u, 64u) == 1);
  CHECK(divide_up(65u, 64u) == 2);
  CHECK(round_up<std::uint64_t>(1, 32) == 32);
  CHECK(round_up<std::uint64_t>(96, 32) == 96);
}

TEST_CASE("a scope's time goes to its pass, and that of scopes within it to theirs") {
  PassClock clock;
  const double start = now_seconds();
  {
    PassScope outer(clock, Pass::Products);
    while (clock.of(Pass::Packing) == 0) const PassScope inner(clock, Pass::Packing);
    const double packed = clock.of(Pass::Packing);
    outer.change(Pass::Activations);
    while (now_seconds() - start < 0.01) {
    }
    CHECK(clock.of(Pass::Packing) == packed);
  }
  clock.change(Pass::Rest);
  CHECK(clock.of(Pass::Activations) > 0);
  double all = 0;
  for (double seconds : clock.seconds()) all += seconds;
  CHECK(all >= 0.01);
  CHECK(all <= now_seconds() - start + 0.01);
}
