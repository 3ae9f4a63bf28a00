// Totals over ranks, and the load of experts.
#include "mill/totals.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "system/comm/comm.hpp"

using namespace moemill;
using namespace moemill::mill;

TEST_CASE("totals: counts add up over ranks, seconds are their mean") {
  run_loopback(3, [](Comm world) {
    Totals mine;
    mine.generated_tokens = 10;
    mine.decode_seconds = 1 + world.rank();
    Totals all = sum_over_ranks(world, mine);
    CHECK(all.generated_tokens == 30);
    CHECK(all.decode_seconds == doctest::Approx(2));
    std::vector<std::uint64_t> counts = {1, static_cast<std::uint64_t>(world.rank())};
    CHECK(sum_counts(world, counts) == std::vector<std::uint64_t>{3, 3});
  });
}

TEST_CASE("expert load: busiest over mean, mean over layers") {
  const std::vector<std::uint64_t> counts = {4, 0, 0, 0, 1, 1, 1, 1};
  CHECK(max_over_mean(counts, 4) == doctest::Approx(2.5));
  CHECK(max_over_mean({}, 4) == 1);
}

TEST_CASE("expert load of several attempts weighs their tokens") {
  ExpertLoad load;
  load += {3, 0};
  CHECK(load.max_over_mean == 1);
  load += {2, 100};
  CHECK(load.max_over_mean == doctest::Approx(2));
  load += {4, 300};
  CHECK(load.max_over_mean == doctest::Approx(3.5));
}
