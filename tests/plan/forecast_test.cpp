// The scheduler run on lengths alone, and the seconds of its steps, on a machine whose seconds are known on paper.
#include "plan/forecast/forecast.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "plan/forecast/answer_lengths.hpp"
#include "support.hpp"

using namespace moemill;
using namespace moemill::mill;
using calibration::Curve;
using calibration::StepFacts;
using schedule::Phase;

namespace {

constexpr double per_row = 1e-3, outside = 0.5, per_draw = 1e-2;

model::ModelConfig small_model() {
  model::ModelConfig config;
  config.model_type = "small";
  config.hidden = 64, config.layers = 1, config.vocabulary = 1000;
  config.layer_is_moe = {true};
  config.attention = model::AttentionKind::Grouped;
  config.gqa.heads = 4, config.gqa.kv_heads = 2, config.gqa.head_dim = 16;
  config.moe.experts = 8, config.moe.picks = 2, config.moe.expert_width = 32;
  return config;
}

// One layer: a millisecond for a row's projections and as much for its combine, half a second, or so much, for a step.
calibration::StepPredictor predictor(std::uint32_t ranks, double outside_layers = outside) {
  calibration::Calibration c;
  c.shape = calibration::shape_of(small_model());
  c.ranks = ranks;
  calibration::Stages s;
  s.prompt_projections = s.generated_projections = s.combine = Curve({{0, 0}, {1000, 1000 * per_row}});
  s.outside = Curve({{0, outside_layers}});
  c.stages = {s};
  c.drawing_seconds_a_row.fill(per_draw);
  return {c, small_model(), {ranks, 1}};
}

WorkLengths equal_work(std::uint32_t prompts, std::uint32_t tokens, std::uint32_t answer) {
  WorkLengths work;
  for (std::uint32_t p = 0; p < prompts; ++p) work.add(tokens, answer, 1, answer);
  return work;
}

DryRunSettings settings(std::uint32_t ranks, std::uint32_t sequences = 8) {
  return {ranks, 2, {.max_num_seqs = sequences, .max_num_batched_tokens = 256, .pages = 4096}};
}

double sum(const StepFacts& facts) {
  double drawn = 0;
  for (double rows : facts.drawn) drawn += rows;
  return drawn;
}

}  // namespace

TEST_CASE("a dry run computes each prompt row once, draws each token once, and knows what rows see") {
  WorkLengths work;
  for (std::uint32_t p = 0; p < 37; ++p) work.add(10 + 7 * p, 40, 1 + p % 3, 1 + p % 40);
  for (std::uint32_t ranks : {1u, 2u, 5u}) {
    CAPTURE(ranks);
    double prompt_positions = 0, drawn = 0, generated = 0;
    const DryRunCounts counts = dry_run(work, settings(ranks), [&](const DryStep& step) {
      REQUIRE(step.ranks.size() == ranks);
      for (const StepFacts& facts : step.ranks) {
        prompt_positions += facts.prompt.positions, drawn += sum(facts), generated += facts.generated.rows;
        CHECK((step.phase == Phase::Prefill || facts.prompt.rows == 0));
        CHECK(facts.generated.rows <= 8);
        CHECK(facts.generated.positions >= 11 * facts.generated.rows);
      }
      return 2.0;
    });
    CHECK(counts.seconds == 2.0 * static_cast<double>(counts.steps));
    CHECK(counts.prompt_rows == work.prompt_tokens());
    CHECK(counts.generated_tokens == work.answer_tokens());
    CHECK(drawn == static_cast<double>(work.answer_tokens()));
    // The last token of an answer never becomes a row.
    CHECK(generated == static_cast<double>(work.answer_tokens() - work.answers.size()));
    double seen = 0;
    for (const PromptLengths& prompt : work.prompts) seen += prompt.tokens * (prompt.tokens + 1.0) / 2;
    CHECK(prompt_positions == seen);
  }
}

TEST_CASE("a dry run of domains: each steps on its own clock, and a slow one gets less of the work") {
  const WorkLengths work = equal_work(400, 20, 10);
  for (std::uint32_t of_domain : {1u, 2u, 3u}) {
    CAPTURE(of_domain);
    DryRunSettings domains = settings(5);
    domains.ranks_of_domain = of_domain;
    std::vector<double> rows(domains.domains()), steps(domains.domains());
    const DryRunCounts counts = dry_run(work, domains, [&](const DryStep& step) {
      CHECK(step.ranks.size() == std::min(of_domain, 5 - step.domain * of_domain));
      for (const StepFacts& facts : step.ranks) rows[step.domain] += facts.prompt.rows + facts.generated.rows;
      ++steps[step.domain];
      return step.domain == 1 ? 4.0 : 1.0;
    });
    CHECK(counts.prompt_rows == work.prompt_tokens());
    CHECK(counts.generated_tokens == work.answer_tokens());
    const double slow_rows = rows[1] / std::min(of_domain, 5 - of_domain), rows_each = rows[0] / of_domain;
    CHECK(slow_rows < 0.5 * rows_each);
    CHECK(steps[1] * 4 > 0.8 * counts.seconds);  // it works to the end all the same
    CHECK(counts.seconds < 1.25 * std::max(steps[0], steps[1] * 4));
  }
}

TEST_CASE("prompts that are only scored, and those that do not fit") {
  WorkLengths scored;
  scored.sampling.prompt_logprobs = true;
  for (int p = 0; p < 5; ++p) scored.add(20, 0, 1, 7);
  double drawn = 0;
  const auto counts = dry_run(scored, settings(2), [&](const DryStep& step) {
    for (const StepFacts& facts : step.ranks)
      drawn += facts.drawn[static_cast<std::size_t>(calibration::Drawing::Score)];
    return 1.0;
  });
  CHECK(scored.answer_tokens() == 0);
  CHECK(counts.prompt_rows == 5 * 19);
  CHECK(drawn == 5 * 19);
  DryRunSettings narrow = settings(1);
  narrow.scheduler.pages = 2;
  const std::string fault =
      test::fault_of_call([&] { dry_run(equal_work(1, 500, 10), narrow, [](auto...) { return 1.0; }); });
  CHECK(test::says(fault, {"500 tokens", "10 new", "parallel.kv_cache_tokens"}));
  WorkLengths mixed = equal_work(1, 500, 10);
  mixed.add(20, 5, 2, 4), mixed.add(20, 12, 1, 12);
  const WorkLengths kept = fitting(mixed, narrow);
  CHECK(kept.prompts.size() == 2);
  CHECK(kept.answers == std::vector<std::uint32_t>{4, 4, 12});
  CHECK(dry_run(kept, narrow, [](auto...) { return 1.0; }).generated_tokens == 20);
}

TEST_CASE("seconds of steps by part: the slowest rank sets the time, and the parts add up to it") {
  StepSeconds seconds({predictor(2)}, 2);
  StepFacts many, few;
  many.generated = {30, 3000}, few.generated = {10, 1000};
  many.drawn[0] = 30, few.drawn[0] = 10;
  const StepShare slow = seconds.share_of(many), fast = seconds.share_of(few), none = seconds.share_of({});
  CHECK(slow.own_seconds[0] == doctest::Approx(30 * per_row + outside + 30 * per_draw));
  CHECK(none.own_seconds[0] == doctest::Approx(outside));

  seconds.add(Phase::Decode, std::vector{slow, fast});
  PartSeconds parts = seconds.parts();
  CHECK(parts.decode == doctest::Approx((slow.own_seconds[0] + fast.own_seconds[0]) / 2));
  CHECK(parts.exchange == doctest::Approx(20 * per_row + (slow.own_seconds[0] - fast.own_seconds[0]) / 2));
  CHECK(parts.wall() == doctest::Approx(slow.own_seconds[0] + 20 * per_row));
  CHECK(parts.prefill + parts.idle + parts.load == doctest::Approx(0));

  seconds.add(Phase::Prefill, std::vector{fast, none});  // the second rank is idle for the whole step
  parts = seconds.parts();
  const double step = fast.own_seconds[0] + 5 * per_row;
  CHECK(parts.prefill == doctest::Approx(fast.own_seconds[0] / 2));
  CHECK(parts.idle == doctest::Approx(step / 2));
  CHECK(parts.wall() == doctest::Approx(slow.own_seconds[0] + 20 * per_row + step));
}

TEST_CASE("where steps may have two micro-batches they count with two if that is faster by more than 2 %") {
  StepFacts facts;
  facts.generated = {30, 3000};
  for (const double of_two : {0.9 * outside, 1.1 * outside, 0.999 * outside}) {
    CAPTURE(of_two);
    const auto wall = [&](StepPredictors predictors) {
      StepSeconds seconds(std::move(predictors), 2);
      seconds.add(Phase::Decode, std::vector(2, seconds.share_of(facts)));
      return seconds.parts().wall();
    };
    const double one = wall({predictor(2)}), two = wall({predictor(2, of_two)});
    CHECK(wall({predictor(2), predictor(2, of_two)}) == (of_two < 0.95 * outside ? two : one));
  }
}

TEST_CASE(
    "routing that is known: experts take what their pairs take, and the others wait for the slowest of each layer") {
  calibration::Calibration c;
  c.shape = calibration::shape_of(small_model());
  c.ranks = 2;
  calibration::Stages s;
  s.expert = Curve({{0, 0}, {1000, 1000 * per_row}});
  c.stages = {s};
  StepSeconds seconds({{c, small_model(), {2, 1}}}, 2);
  // 20 rows of 2 picks: 25 pairs on one rank and 15 on the other.
  seconds.add(Phase::Decode, std::vector<StepShare>{{{}, 10, {25, 4, 25, 25}}, {{}, 10, {15, 4, 15, 15}}});
  CHECK(seconds.parts().decode == doctest::Approx(20 * per_row));
  CHECK(seconds.parts().exchange == doctest::Approx(5 * per_row));
  // On one node, uneven in turn over two layers: each rank computes as much as the other, and waits all the same.
  seconds.add(Phase::Prefill, std::vector<StepShare>{{{}, 10, {40, 8, 40, 50}}, {{}, 10, {40, 8, 40, 50}}});
  CHECK(seconds.parts().prefill == doctest::Approx(40 * per_row));
  CHECK(seconds.parts().exchange == doctest::Approx(15 * per_row));
  // Ranks with different numbers of rows have even pairs.
  StepSeconds even({{c, small_model(), {2, 1}}}, 2);
  even.add(Phase::Decode, std::vector<StepShare>{{{}, 15, {20, 4, 20, 20}}, {{}, 5, {20, 4, 20, 20}}});
  CHECK(even.parts().exchange == doctest::Approx(0));
}

TEST_CASE("loading is starting and reading weights, if there are any to read") {
  calibration::Calibration c;
  c.start_seconds = 0.5;
  CHECK(other_seconds(c, {.weight_bytes = 1e9}, 1).load == 0);
  c.load_bytes_per_second = 1e9;
  CHECK(other_seconds(c, {.weight_bytes = 1e9}, 1).load == doctest::Approx(1.5));
  CHECK(other_seconds(c, other_work(0, 100, 100, 1), 1).load == 0);
}

TEST_CASE("a forecast of equal sequences is known on paper") {
  // 4 prompts of 16 tokens at once, then 9 steps of 4 rows.
  const StepPredictors predict{predictor(1)};
  const Forecast f = forecast({predict, equal_work(4, 16, 10), settings(1), 1});
  CHECK(f.steps == 10);
  CHECK(f.prompt_tokens == 64);
  CHECK(f.answer_tokens == 40);
  CHECK(f.parts.prefill == doctest::Approx(64 * per_row + outside + 4 * per_draw));
  CHECK(f.parts.decode == doctest::Approx(9 * (4 * per_row + outside + 4 * per_draw)));
  CHECK(f.parts.exchange == doctest::Approx((64 + 36) * per_row));
  CHECK(f.seconds_left(64, 40) == doctest::Approx(f.parts.wall()));
  CHECK(f.seconds_left(0, 20) > 0.3 * f.parts.wall());
  CHECK(f.seconds_left(0, 0) == 0);
}

TEST_CASE("large work is extrapolated from two samples of it") {
  const StepPredictors predict{predictor(2)};
  const WorkLengths work = equal_work(3000, 20, 30);
  const Forecast whole = forecast({predict, work, settings(2), 2});
  const Forecast sampled = forecast({predict, work, settings(2), 2, 60'000});
  CHECK(!whole.sampled);
  CHECK(sampled.sampled);
  CHECK(sampled.prompt_tokens == whole.prompt_tokens);
  CHECK(sampled.parts.wall() == doctest::Approx(whole.parts.wall()).epsilon(0.02));
  CHECK(sampled.parts.decode == doctest::Approx(whole.parts.decode).epsilon(0.05));
  CHECK(sampled.steps == doctest::Approx(whole.steps).epsilon(0.02));
}

TEST_CASE("samples of work for many ranks fill the ranks more than once") {
  const StepPredictors predict{predictor(64)};
  for (const std::uint32_t ranks : {1u, 2u, 64u}) {
    CAPTURE(ranks);
    const WorkLengths work = equal_work(ranks * 80, 20, 300);
    const Forecast whole = forecast({predict, work, settings(ranks), ranks});
    const Forecast sampled = forecast({predict, work, settings(ranks), ranks, 6'000});
    CHECK(sampled.sampled);
    CHECK(sampled.parts.wall() == doctest::Approx(whole.parts.wall()).epsilon(0.05));
    CHECK(sampled.steps == doctest::Approx(whole.steps).epsilon(0.05));
  }
}

TEST_CASE("lengths of answers: a mean, or a file's lengths in their shares") {
  const AnswerLengths by_mean = AnswerLengths::of_mean(200),
                      by_file = AnswerLengths::read("# two\n10 3\n\n1000,1\n", "f");
  double sum = 0, longest = 0, short_ones = 0;
  constexpr int samples = 20000;
  for (std::uint64_t s = 0; s < samples; ++s) {
    const double length = by_mean.length(s, 100'000);
    sum += length, longest = std::max(longest, length);
    const std::uint32_t read = by_file.length(s, 500);
    CHECK((read == 10 || read == 500));  // at most max_tokens
    short_ones += read == 10 ? 1 : 0;
  }
  CHECK(sum / samples == doctest::Approx(200).epsilon(0.03));
  CHECK(longest > 1000);
  CHECK(short_ones / samples == doctest::Approx(0.75).epsilon(0.02));
  CHECK(AnswerLengths().length(3, 77) == 77);
  for (const char* text : {"ten", "10 x", "10 2 3", "-1", "nan"})
    CHECK(test::says(test::fault_of_call([&] { AnswerLengths::read(text, "f.txt"); }), {"f.txt:1:"}));
  CHECK(test::says(test::fault_of_call([&] { AnswerLengths::read("5 0\n", "f.txt"); }), {"no lengths"}));
}
