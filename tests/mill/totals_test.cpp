// Totals over ranks, and the load of experts.
#include "mill/totals.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
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

TEST_CASE("totals: an attempt that is over is read back from its last line of metrics.jsonl") {
  Totals attempt;
  std::uint64_t number = 1;
  for (const Count& count : all_counts) attempt.*count.member = number++;
  for (const Seconds& second : all_seconds) attempt.*second.member = static_cast<double>(number++);
  nlohmann::ordered_json line;
  for (CountOf of : {CountOf::Now, CountOf::Tokens, CountOf::Prefix, CountOf::Balance, CountOf::Exchange,
                     CountOf::Steps, CountOf::Parts, CountOf::Memory})
    put(line, attempt, of);
  for (SecondsOf of : {SecondsOf::Run, SecondsOf::Exchange, SecondsOf::Balance}) put_seconds(line, attempt, of);
  const Totals again = totals_in(nlohmann::json(line));
  for (const Count& count : all_counts) {
    const bool is_kept = count.of != CountOf::Rows && count.of != CountOf::Now;
    CHECK(again.*count.member == (is_kept ? attempt.*count.member : 0));
  }
  for (const Seconds& second : all_seconds) CHECK(again.*second.member == attempt.*second.member);
  Totals sum = attempt;
  sum.peak_rss_bytes = 7;
  sum.add_attempt(again);
  CHECK(sum.generated_tokens == 2 * attempt.generated_tokens);
  CHECK(sum.peak_rss_bytes == attempt.peak_rss_bytes);
}

TEST_CASE("totals: the counts of each step are those of all ranks") {
  Totals one, other;
  one.generated_tokens = 2;
  one.rows_sent = 5;
  other.generated_tokens = 3;
  other.prompts_failed = 1;
  const std::vector<StepCounts> ranks = {step_counts(one), step_counts(other)};
  const Totals all = with_step_counts(one, ranks);
  CHECK(all.generated_tokens == 5);
  CHECK(all.prompts_failed == 1);
  CHECK(all.rows_sent == 5);  // this rank's
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
  load += {2, 100, 1.5, 1};
  CHECK(load.max_over_mean == doctest::Approx(2));
  CHECK(load.nodes_in_slices == doctest::Approx(1.5));
  load += {4, 300, 1.9, 1.4};
  CHECK(load.nodes_in_slices == doctest::Approx(1.8));
  CHECK(load.nodes == doctest::Approx(1.3));
  CHECK(load.max_over_mean == doctest::Approx(3.5));
}
