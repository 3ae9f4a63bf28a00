// The production line over a backend without a model: whatever the batch, the pages, the chunks and the interruptions,
// every row is what its prompt, its settings and its seed make of it.
#include "generate/generator.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "base/numbers/random.hpp"
#include "support/fake_backend.hpp"

using namespace moemill;
using namespace moemill::mill;
using test::FakeBackend;

namespace {

constexpr std::uint32_t vocabulary = 50;
using RowKey = std::pair<std::uint64_t, std::uint32_t>;  // prompt, sample

model::ModelConfig small_config() {
  model::ModelConfig config;
  config.vocabulary = vocabulary;
  config.eos = {3};
  return config;
}

PreparedPrompt prompt_of(std::uint64_t index) {
  PreparedPrompt prompt;
  prompt.index = index;
  prompt.id = static_cast<std::int64_t>(index);
  const std::size_t length = 1 + philox(1, index)[0] % 150;
  for (std::size_t i = 0; i < length; ++i) {
    prompt.tokens.push_back(static_cast<TokenId>(philox(2, index * 1000 + i)[0] % vocabulary));
  }
  prompt.sampling.max_tokens = 1 + philox(3, index)[0] % 40;
  prompt.sampling.n = 1 + index % 3;
  prompt.sampling.seed = 7;
  prompt.sampling.ignore_eos = index % 2 == 0;
  if (index % 4 == 1) prompt.sampling.logprobs = 2;
  prompt.sampling.prompt_logprobs = index % 5 == 0;
  return prompt;
}

std::vector<std::uint32_t> all_samples(const PreparedPrompt& prompt) {
  std::vector<std::uint32_t> samples(prompt.sampling.n);
  std::iota(samples.begin(), samples.end(), 0);
  return samples;
}

// A row as the definition has it.
struct Expected {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  dataset::FinishReason finish;
};
Expected expected_row(const PreparedPrompt& prompt, std::uint32_t sample) {
  const std::uint64_t seed = sample_seed(prompt.sampling.seed, stable_hash64(dataset::to_text(prompt.id)), sample);
  std::vector<TokenId> sequence = prompt.tokens;
  Expected row;
  while (true) {
    const TokenId token = FakeBackend::next(sequence, seed, vocabulary);
    row.tokens.push_back(token);
    row.logprobs.push_back(FakeBackend::logprob(sequence, token));
    sequence.push_back(token);
    row.finish = dataset::FinishReason::Stop;
    if (!prompt.sampling.ignore_eos && token == 3) return row;
    row.finish = dataset::FinishReason::Length;
    if (row.tokens.size() == prompt.sampling.max_tokens) return row;
  }
}

struct Bench {
  model::ModelConfig config = small_config();
  FakeBackend backend{vocabulary};
  Generator generator;

  explicit Bench(const schedule::SchedulerSettings& settings)
      : generator({config, nullptr, backend}, settings, {DecodeText::No, text::SkipSpecial::Yes}) {}

  // False when nothing is left to do.
  bool step() {
    const schedule::Facts facts[] = {generator.facts()};
    const WorldRank rank[] = {{0}};
    const schedule::Decision decision = schedule::decide_step(schedule::decide_round(facts, {}), facts, rank);
    if (!schedule::takes_a_step(decision.phase)) return false;
    generator.step(decision);
    GeneratedRows ended = generator.take_finished();
    for (auto& row : ended.completions) CHECK(rows.emplace(RowKey{row.prompt_index, row.sample_index}, row).second);
    for (auto& score : ended.scores) CHECK(scores.emplace(score.prompt_index, score.logprobs).second);
    return true;
  }
  void run() {
    while (step())
      ;
    CHECK(generator.idle());
  }

  std::map<RowKey, dataset::Completion> rows;
  std::map<std::uint64_t, std::vector<float>> scores;
};

void check_row(const dataset::Completion& row, const PreparedPrompt& prompt) {
  const Expected expected = expected_row(prompt, row.sample_index);
  CAPTURE(row.prompt_index);
  CAPTURE(row.sample_index);
  CHECK(row.status == dataset::RowStatus::Ok);
  CHECK(row.token_ids == expected.tokens);
  CHECK(row.finish_reason == expected.finish);
  CHECK(row.num_prompt_tokens == prompt.tokens.size());
  if (expected.finish == dataset::FinishReason::Stop) CHECK(row.stop_reason == "3");
  if (!prompt.sampling.logprobs) {
    CHECK(row.logprobs.empty());
    CHECK(std::isnan(row.cumulative_logprob));
    return;
  }
  CHECK(row.logprobs == expected.logprobs);
  CHECK(row.top_ids.size() == 2 * row.token_ids.size());
  for (std::size_t i = 0; i < row.token_ids.size(); ++i) CHECK(row.top_ids[2 * i] == row.token_ids[i]);
}

void check_score(const std::vector<float>& score, const PreparedPrompt& prompt) {
  REQUIRE(score.size() == prompt.tokens.size());
  CHECK(std::isnan(score[0]));
  for (std::size_t i = 1; i < score.size(); ++i) {
    const std::span<const TokenId> before(prompt.tokens.data(), i);
    REQUIRE(score[i] == FakeBackend::logprob(before, prompt.tokens[i]));
  }
}

void check_all(const Bench& bench, std::uint64_t prompts) {
  std::size_t rows = 0;
  for (std::uint64_t i = 0; i < prompts; ++i) {
    const PreparedPrompt prompt = prompt_of(i);
    CHECK(bench.scores.contains(i) == prompt.sampling.prompt_logprobs);
    if (prompt.sampling.prompt_logprobs) check_score(bench.scores.at(i), prompt);
    for (std::uint32_t sample = 0; sample < prompt.sampling.n; ++sample, ++rows) {
      const auto row = bench.rows.find({i, sample});
      REQUIRE(row != bench.rows.end());
      check_row(row->second, prompt);
    }
  }
  CHECK(bench.rows.size() == rows);
}

}  // namespace

TEST_CASE("every row is what its prompt and seed make of it, whatever the batch, the chunks and the pages") {
  constexpr std::uint64_t prompts = 25;
  for (const schedule::SchedulerSettings& settings :
       {schedule::SchedulerSettings{.max_num_seqs = 64, .max_num_batched_tokens = 512, .pages = 400},
        schedule::SchedulerSettings{.max_num_seqs = 1, .max_num_batched_tokens = 16, .pages = 8},
        schedule::SchedulerSettings{.max_num_seqs = 5, .max_num_batched_tokens = 33, .pages = 12},
        schedule::SchedulerSettings{.max_num_seqs = 16, .max_num_batched_tokens = 100, .pages = 16}}) {
    schedule::SchedulerSettings with_length = settings;
    with_length.max_model_len = 200;
    Bench bench(with_length);
    for (std::uint64_t i = 0; i < prompts; ++i) {
      const PreparedPrompt prompt = prompt_of(i);
      REQUIRE(bench.generator.fits(prompt));
      bench.generator.add(prompt, all_samples(prompt), {}, Generator::Score::Wanted);
    }
    bench.run();
    check_all(bench, prompts);
    CHECK(bench.backend.largest_step() <= settings.max_num_batched_tokens);
    std::uint64_t tokens = 0;
    for (const auto& entry : bench.rows) tokens += entry.second.token_ids.size();
    CHECK(bench.generator.generated_tokens() == tokens);
  }
}

TEST_CASE("an interrupted job continues with the tokens that it had, and makes the same rows") {
  constexpr std::uint64_t prompts = 12;
  const schedule::SchedulerSettings settings{
      .max_num_seqs = 8, .max_num_batched_tokens = 64, .pages = 60, .max_model_len = 200};
  for (int steps : {1, 4, 9, 20}) {
    CAPTURE(steps);
    Bench first(settings), second(settings);
    for (std::uint64_t i = 0; i < prompts; ++i) {
      first.generator.add(prompt_of(i), all_samples(prompt_of(i)), {}, Generator::Score::Wanted);
    }
    for (int s = 0; s < steps; ++s) first.step();
    const auto partials = first.generator.partials();
    for (std::uint64_t i = 0; i < prompts; ++i) {
      const PreparedPrompt prompt = prompt_of(i);
      std::vector<std::uint32_t> missing;
      for (std::uint32_t sample : all_samples(prompt))
        if (!first.rows.contains({i, sample})) missing.push_back(sample);
      if (missing.empty()) continue;
      std::vector<dataset::PartialSample> own;
      for (const auto& partial : partials)
        if (partial.prompt_index == i) own.push_back(partial);
      const bool known = first.scores.contains(i);
      second.generator.add(prompt, missing, own, known ? Generator::Score::Known : Generator::Score::Wanted);
    }
    second.run();
    second.rows.insert(first.rows.begin(), first.rows.end());
    for (const auto& [prompt, score] : first.scores) CHECK(second.scores.emplace(prompt, score).second);
    check_all(second, prompts);
  }
}

TEST_CASE("logits that are not finite fail their row and no other") {
  const schedule::SchedulerSettings settings{
      .max_num_seqs = 8, .max_num_batched_tokens = 64, .pages = 60, .max_model_len = 200};
  Bench bench(settings);
  const PreparedPrompt broken = prompt_of(2);
  std::vector<TokenId> until = broken.tokens;
  const Expected row = expected_row(broken, 1);
  const std::size_t kept = std::min<std::size_t>(row.tokens.size() - 1, 3);
  until.insert(until.end(), row.tokens.begin(), row.tokens.begin() + static_cast<std::ptrdiff_t>(kept));
  bench.backend.break_after(until);
  for (std::uint64_t i = 0; i < 6; ++i) {
    bench.generator.add(prompt_of(i), all_samples(prompt_of(i)), {}, Generator::Score::Wanted);
  }
  bench.run();
  for (const auto& [key, made] : bench.rows) {
    if (key == RowKey{2, 1}) {
      CHECK(made.status == dataset::RowStatus::Failed);
      REQUIRE(made.error);
      CHECK(made.error->code == dataset::ErrorCode::Internal);
      CHECK(made.token_ids.empty());
    } else {
      check_row(made, prompt_of(key.first));
    }
  }
}

TEST_CASE("a prompt that is only scored makes its scores and rows without tokens") {
  Bench bench({.max_num_seqs = 2, .max_num_batched_tokens = 20, .pages = 8, .max_model_len = 200});
  PreparedPrompt prompt = prompt_of(5);
  prompt.sampling.max_tokens = 0;
  prompt.sampling.n = 1;
  bench.generator.add(prompt, all_samples(prompt), {}, Generator::Score::Wanted);
  bench.run();
  check_score(bench.scores.at(5), prompt);
  CHECK(bench.rows.at({5, 0}).token_ids.empty());
  CHECK(bench.rows.at({5, 0}).status == dataset::RowStatus::Ok);
}
