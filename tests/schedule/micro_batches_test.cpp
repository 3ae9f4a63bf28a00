// How many micro-batches a step has, against made-up costs of steps.
#include "schedule/micro_batches.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

using namespace moemill::schedule;

namespace {

// Seconds of a step number with so many micro-batches.
using Cost = std::function<double(int step, std::uint32_t micro_batches)>;

struct Played {
  double seconds = 0, with_one = 0, with_two = 0;
  std::vector<std::uint32_t> chosen;

  double over_the_better() const { return seconds / std::min(with_one, with_two); }
  int twos(std::size_t first, std::size_t last) const {
    int count = 0;
    for (std::size_t i = first; i < last; ++i) count += chosen[i] == 2;
    return count;
  }
};

Played play(int steps, const Cost& cost, std::uint32_t rows = 64) {
  MicroBatchRule rule({}, 2);
  Played played;
  for (int i = 0; i < steps; ++i) {
    const std::uint32_t chosen = rule.choose(Phase::Decode, rows);
    played.chosen.push_back(chosen);
    played.seconds += cost(i, chosen), played.with_one += cost(i, 1), played.with_two += cost(i, 2);
    rule.took({cost(i, chosen), rows});
  }
  return played;
}

// A factor that is the same for the same step, of one percent or so.
double noise(int step, std::uint32_t micro_batches, double size) {
  std::minstd_rand random(static_cast<unsigned>(2 * step) + micro_batches);
  random.discard(3);
  return 1 + size * (static_cast<double>(random() % 2001) / 1000 - 1);
}

}  // namespace

TEST_CASE("micro-batches: what is set is what there is, and a step of one row is never halved") {
  for (std::uint32_t wanted : {1u, 2u}) {
    MicroBatchRule rule(wanted, 2);
    for (int i = 0; i < 100; ++i) {
      CHECK(rule.choose(Phase::Decode, 64) == wanted);
      CHECK(rule.is_settled());
      rule.took({wanted == 1 ? 2.0 : 1.0, 64});
    }
  }
  CHECK(play(
            200, [](int, std::uint32_t m) { return 1.0 / m; }, 1)
            .twos(0, 200) == 0);
  MicroBatchRule alone({}, 1);
  CHECK(alone.choose(Phase::Decode, 64) == 1);
  CHECK(alone.is_settled());
  CHECK(most_micro_batches({}, 1) == 1);
  CHECK(most_micro_batches({}, 2) == 2);
  CHECK(most_micro_batches(2, 1) == 2);
  CHECK(most_micro_batches(1, 2) == 1);
}

TEST_CASE("micro-batches: the cheaper number is kept, and trying costs less than 2 percent") {
  for (double two : {0.6, 0.85, 1.0, 1.15, 1.5}) {
    for (double size : {0.0, 0.05}) {
      CAPTURE(two);
      CAPTURE(size);
      const Cost cost = [&](int i, std::uint32_t m) { return (m == 2 ? two : 1) * noise(i, m, size); };
      CHECK(play(2000, cost).over_the_better() < 1.02);
    }
  }
}

TEST_CASE("micro-batches: the first step of each kind counts for nothing, and a slow step decides nothing") {
  for (int slow : {0, 1, 2, 3, 4, 5, 6, 7, 40}) {
    CAPTURE(slow);
    for (double two : {0.85, 1.15}) {
      const Cost cost = [&](int i, std::uint32_t m) {
        const bool first = i < 2;
        return (m == 2 ? two : 1) * (first ? (m == 2 ? 9 : 3) : i == slow ? 5 : 1);
      };
      const Played played = play(100, cost);
      CHECK((two < 1 ? played.twos(20, 100) >= 77 : played.twos(20, 100) <= 3));
    }
  }
}

TEST_CASE("micro-batches: a difference below 2 percent changes nothing, a larger one does") {
  CHECK(play(2000, [](int, std::uint32_t m) { return m == 2 ? 0.99 : 1; }).twos(100, 2000) <= 2000 / 64);
  CHECK(play(2000, [](int, std::uint32_t m) { return m == 2 ? 0.97 : 1; }).twos(100, 2000) >= 1900 - 2000 / 64);
}

TEST_CASE("micro-batches: what becomes slower for both does not look like a difference") {
  // Sequences grow: every step takes a thousandth more than the one before it.
  const Cost cost = [](int i, std::uint32_t m) { return (1 + 0.001 * i) * (m == 2 ? 1.1 : 1); };
  CHECK(play(3000, cost).twos(100, 3000) <= 3000 / 64);
}

TEST_CASE("micro-batches: a link that becomes slow is noticed, and one that recovers") {
  const auto is_slow = [](int i) { return i >= 1000 && i < 4000; };
  const Cost cost = [&](int i, std::uint32_t m) { return m == 2 ? 1.1 : is_slow(i) ? 1.4 : 1; };
  const Played played = play(7000, cost);
  CHECK(played.twos(100, 1000) < 20);
  CHECK(played.twos(2000, 4000) > 1900);
  CHECK(played.twos(5000, 7000) < 100);
}

TEST_CASE("micro-batches: phases and numbers of rows are judged by themselves, and ranks that know the same agree") {
  std::vector<MicroBatchRule> ranks(2, MicroBatchRule({}, 2));
  // Two cost less in steps with prompts, and only there. The second rank takes longer.
  const auto seconds = [](Phase phase, std::uint32_t m) { return m == 1 ? 1.0 : phase == Phase::Prefill ? 0.7 : 1.2; };
  std::vector<Facts> facts(2);
  int twos[2] = {0, 0};
  for (int i = 0; i < 400; ++i) {
    Decision decision;
    decision.phase = i % 2 ? Phase::Prefill : Phase::Decode;
    decision.row_limit = 1000;
    for (std::size_t r = 0; r < 2; ++r)
      facts[r].generated_rows = 10 + static_cast<std::uint32_t>(r), facts[r].prompt_rows = 4000;
    const std::uint32_t chosen = ranks[0].choose(decision, facts);
    CHECK(ranks[1].choose(decision, facts) == chosen);
    if (i >= 200) twos[i % 2] += chosen == 2;
    StepTime slowest;
    slowest.cover({seconds(decision.phase, chosen) / 2, 3});
    slowest.cover({seconds(decision.phase, chosen), decision.phase == Phase::Prefill ? 1000u : 11u});
    for (MicroBatchRule& rank : ranks) rank.took(slowest);
  }
  CHECK(twos[0] < 5);
  CHECK(twos[1] > 95);
}

TEST_CASE("micro-batches: no step is taken before the first one, and none in the other phases") {
  MicroBatchRule rule({}, 2);
  std::vector<Facts> facts(1);
  facts[0].generated_rows = 64;
  Decision decision;
  for (int i = 0; i < 10; ++i) {
    decision.phase = Phase::Decode;
    CHECK(rule.choose(decision, facts) == 1);  // nothing was measured
    decision.phase = Phase::Drain;
    CHECK(rule.choose(decision, facts) == 1);
  }
}
