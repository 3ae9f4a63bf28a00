// Complete jobs on simulated ranks (simulation.hpp) have the same answers for any layout and respect all limits.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "base/numbers/random.hpp"
#include "schedule/simulation.hpp"

using namespace moemill;
using namespace moemill::schedule;
using namespace moemill::schedule::test;

namespace {

// Random limits that any sample of the job fits; a third of the models each has full layers, windowed layers, and both.
SimulationSettings random_settings(Chance& chance, const JobShape& shape, std::uint32_t window, std::uint32_t kind) {
  SimulationSettings s;
  s.ranks = chance.from(1, 6);
  s.prompts_a_shard = chance.from(1, 9);
  s.letter_steps = chance.from(0, 3);
  const std::uint32_t longest = shape.longest_prompt + shape.longest_completion;
  auto spare = [&] { return chance.from(0, chance.from(0, 1) == 0 ? 3 : 60); };
  s.scheduler = {chance.from(1, 20), chance.from(1, 200), pages_for(longest) + spare(), 4096};
  if (kind != 0) s.scheduler.window = window, s.scheduler.window_pages = least_window_pages(window, longest) + spare();
  if (kind == 2) s.scheduler.pages = 0;
  s.ranks_of_domain = chance.from(0, s.ranks);
  s.longest_step = chance.from(1, 5);
  s.steps_ahead = chance.from(0, 3) * chance.from(0, 20);
  return s;
}

struct PromptTotals {
  std::uint64_t rows = 0;
  std::uint64_t most_samples = 0;
};
PromptTotals prompts_of(const std::vector<PromptWork>& job) {
  PromptTotals totals;
  for (const PromptWork& prompt : job) {
    totals.rows += prompt.prompt_rows();
    totals.most_samples = std::max<std::uint64_t>(totals.most_samples, prompt.samples.size());
  }
  return totals;
}

double balance(const Outcome& outcome, std::uint32_t ranks) {
  return static_cast<double>(outcome.rows) / static_cast<double>(outcome.slowest_rows * ranks);
}

}  // namespace

TEST_CASE("every sample once, with the same tokens for any ranks, limits, pages and shards") {
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    CAPTURE(seed);
    Chance chance{seed};
    JobShape shape{chance.from(0, 30), chance.from(1, 160), chance.from(1, 100), chance.from(1, 6)};
    std::vector<PromptWork> job = random_job(seed, shape);
    SimulationSettings settings = random_settings(chance, shape, chance.from(1, 200), chance.from(0, 2));
    Outcome expected = by_definition(job, settings.scheduler);
    Outcome got = simulate(job, settings);
    REQUIRE(got.end == Phase::Finished);
    REQUIRE(got.completions == expected.completions);
    REQUIRE(got.prompt_scores == expected.prompt_scores);
    const PromptTotals totals = prompts_of(job);
    const std::uint64_t once = got.prompt_rows - got.prompt_rows_again;
    REQUIRE(once >= totals.rows);
    // Nothing is computed twice, except for samples that are put back and a prompt whose samples went to several ranks.
    if (settings.ranks == 1 || totals.most_samples < 2) REQUIRE(once == totals.rows);
  }
}

TEST_CASE("prompts that begin alike have the same tokens and scores, whatever they share, in any number of pages") {
  std::uint64_t shared = 0, all = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    CAPTURE(seed);
    Chance chance{seed + 400000};
    JobShape shape{chance.from(1, 40), chance.from(1, 260), chance.from(1, 60), chance.from(1, 3), chance.from(1, 10)};
    const std::vector<PromptWork> job = random_job(seed, shape);
    SimulationSettings settings = random_settings(chance, shape, chance.from(1, 300), chance.from(0, 2));
    settings.scheduler.share_prefixes = true;
    settings.by_prefix = chance.from(0, 3) > 0;
    const Outcome expected = by_definition(job, settings.scheduler);
    const Outcome got = simulate(job, settings);
    REQUIRE(got.end == Phase::Finished);
    REQUIRE(got.completions == expected.completions);
    REQUIRE(got.prompt_scores == expected.prompt_scores);
    const PromptTotals totals = prompts_of(job);
    if (settings.ranks == 1 || totals.most_samples < 2)
      REQUIRE(got.prompt_rows - got.prompt_rows_again + got.shared_rows == totals.rows);
    shared += got.shared_rows, all += totals.rows;
  }
  MESSAGE("shared " << shared << " of " << all << " prompt rows");
  CHECK(shared * 20 > all);
}

namespace {

// Prompts of several families whose members part at random places, some twice in the job. Only duplicates end within
// another prompt.
std::vector<PromptWork> families(Chance& chance, std::uint32_t prompts) {
  std::vector<PromptWork> job(prompts);
  for (std::uint32_t p = 0; p < prompts; ++p) {
    PromptWork& prompt = job[p];
    prompt.prompt_index = p;
    prompt.params.max_tokens = chance.from(1, 40);
    prompt.samples.push_back({0, sample_seed(1, p, 0), {}});
    if (p > 0 && chance.from(0, 9) == 0) {
      prompt.tokens = job[chance.from(0, p - 1)].tokens;
      continue;
    }
    const bool alone = p == 0 || chance.from(0, 5) == 0;
    if (!alone) prompt.tokens = job[chance.from(0, p - 1)].tokens;
    if (!alone) prompt.tokens.resize(chance.from(0, static_cast<std::uint32_t>(prompt.tokens.size()) - 1));
    for (std::uint32_t own = chance.from(1, 150); own > 0; --own)
      prompt.tokens.push_back(static_cast<TokenId>(chance.from(0, 999)));
    prompt.tokens.push_back(static_cast<TokenId>(1000 + p));
  }
  return job;
}

// Nodes of the tree of these prompts' tokens. What fewer than 16 tokens lead to is no prefix, and the last token of a
// duplicate is computed again.
std::uint64_t least_rows(const std::vector<PromptWork>& job, const std::vector<std::uint64_t>& prompts) {
  std::vector<std::vector<TokenId>> sorted;
  for (std::uint64_t p : prompts) sorted.push_back(job[p].tokens);
  std::ranges::sort(sorted);
  std::uint64_t rows = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    std::size_t common = 0;
    while (i > 0 && common < std::min(sorted[i].size(), sorted[i - 1].size()) &&
           sorted[i][common] == sorted[i - 1][common])
      ++common;
    common = std::min(common, sorted[i].size() - 1);
    rows += sorted[i].size() - (common < 16 ? 0 : common);
  }
  return rows;
}

}  // namespace

TEST_CASE("each rank computes a prefix once for all its prompts, to the token") {
  std::uint64_t computed = 0, whole = 0, alone = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Chance chance{seed + 500000};
    const std::vector<PromptWork> job = families(chance, chance.from(1, 120));
    SimulationSettings s;
    s.ranks = seed % 2 == 0 ? 1 : chance.from(2, 5);
    s.scheduler = {chance.from(4, 20), chance.from(30, 300), 4000, 4096};
    if (seed % 3 == 0) s.scheduler.window = chance.from(1, 200), s.scheduler.window_pages = 4000;
    s.scheduler.share_prefixes = s.by_prefix = true;
    const Outcome got = simulate(job, s);
    REQUIRE(got.completions == by_definition(job, s.scheduler).completions);
    std::uint64_t least = 0;
    for (const auto& prompts : got.dealt) least += least_rows(job, prompts);
    // What a window has left of a shorter prefix when prompts of a later lot part there may be gone.
    if (s.scheduler.window == 0) CHECK(got.prompt_rows == least);
    CHECK(got.prompt_rows >= least);
    computed += got.prompt_rows;
    for (const PromptWork& prompt : job) whole += prompt.tokens.size();
    std::vector<std::uint64_t> all(job.size());
    std::iota(all.begin(), all.end(), std::uint64_t{0});
    alone += least_rows(job, all);
  }
  MESSAGE(whole << " tokens, " << alone << " different ones, " << computed << " computed");
  CHECK(computed * 100 < alone * 120);
}

TEST_CASE("long texts with small windows, in pools of exactly the pages that one sample needs") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    Chance chance{seed + 200000};
    JobShape shape{6, 1500, 400, 1 + static_cast<std::uint32_t>(seed % 3)};
    std::vector<PromptWork> job = random_job(seed, shape);
    const std::uint32_t window = chance.from(1, 400);
    SimulationSettings s;
    s.scheduler = {.max_num_seqs = chance.from(1, 6),
                   .max_num_batched_tokens = chance.from(1, 700),
                   .pages = seed % 2 == 0 ? 0 : pages_for(1900),
                   .max_model_len = 4096,
                   .window = window};
    s.scheduler.window_pages = shape.most_samples == 1 ? pages_touched(window) : least_window_pages(window, 1900);
    Outcome expected = by_definition(job, s.scheduler);
    Outcome got = simulate(job, s);
    REQUIRE(got.completions == expected.completions);
    REQUIRE(got.prompt_scores == expected.prompt_scores);
  }
}

TEST_CASE("a drained job is resumed on a different number of ranks with the same tokens") {
  std::uint64_t with_partials = 0;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    CAPTURE(seed);
    Chance chance{seed + 100000};
    JobShape shape{chance.from(1, 20), chance.from(1, 160), chance.from(1, 100), chance.from(1, 6)};
    std::vector<PromptWork> job = random_job(seed, shape);
    const std::uint32_t window = chance.from(1, 200), kind = chance.from(0, 2);
    Outcome expected = by_definition(job, random_settings(chance, shape, window, kind).scheduler);
    std::map<SampleKey, Completion> done;
    for (int attempt = 0; attempt < 4; ++attempt) {
      SimulationSettings settings = random_settings(chance, shape, window, kind);
      if (attempt < 3) settings.drain_at_step = chance.from(0, 80);
      Outcome got = simulate(job, settings);
      for (auto& [key, completion] : got.completions) REQUIRE(done.try_emplace(key, completion).second);
      with_partials += got.partials.empty() ? 0 : 1;
      // The rest: samples that are not done, from their partial tokens on. Scores are known once they are complete.
      std::vector<PromptWork> rest;
      for (PromptWork prompt : job) {
        auto scores = got.prompt_scores.find(prompt.prompt_index);
        bool scored = scores != got.prompt_scores.end() && scores->second.size() + 1 == prompt.tokens.size();
        if (scored) {
          REQUIRE(scores->second == expected.prompt_scores.at(prompt.prompt_index));
          prompt.params.prompt_logprobs = false;
        }
        std::vector<SampleWork> missing;
        for (SampleWork& sample : prompt.samples) {
          SampleKey key{prompt.prompt_index, sample.sample_index};
          if (done.count(key) > 0) continue;
          auto partial = got.partials.find(key);
          if (partial != got.partials.end()) {
            REQUIRE(partial->second.size() >= sample.resumed.size());
            sample.resumed = partial->second;
          }
          missing.push_back(sample);
        }
        prompt.samples = std::move(missing);
        if (!prompt.samples.empty()) rest.push_back(std::move(prompt));
      }
      job = std::move(rest);
    }
    REQUIRE(done == expected.completions);
  }
  CHECK(with_partials > 300);
}

TEST_CASE("ranks are kept evenly busy, nearly full, and end together") {
  JobShape shape{2000, 120, 60, 1};
  std::vector<PromptWork> job = random_job(5, shape);
  for (std::uint32_t ranks : {1u, 2u, 4u, 8u}) {
    CAPTURE(ranks);
    SimulationSettings s;
    s.ranks = ranks, s.prompts_a_shard = 8, s.scheduler = {32, 256, 4096, 4096};
    Outcome got = simulate(job, s);
    double busiest = static_cast<double>(got.slowest_rows) / static_cast<double>(got.steps);
    MESSAGE(ranks << " ranks: " << got.steps << " steps, rows of the mean to the busiest rank " << balance(got, ranks)
                  << ", of the busiest a step " << busiest);
    CHECK(balance(got, ranks) > 0.85);  // without levelling it is 0.52 on 8 ranks
    CHECK(busiest > 32);                // the number of slots: each step has the largest number of sequences
    auto [first, last] = std::minmax_element(got.last_busy.begin(), got.last_busy.end());
    CHECK(*last - *first <= 60);  // one longest completion: no rank begins a lot while another is idle
  }
}

TEST_CASE("skewed work: the rank with one long shard does not keep work that others could do") {
  JobShape shape{400, 60, 20, 1};
  std::vector<PromptWork> job = random_job(9, shape);
  for (std::uint32_t p = 0; p < 8; ++p) job[p].params.max_tokens = 400;  // the first shard is most of the work
  SimulationSettings s;
  s.ranks = 4, s.prompts_a_shard = 8, s.scheduler = {8, 64, 256, 4096};
  Outcome got = simulate(job, s);
  std::uint64_t longest = 0;
  for (const auto& [key, done] : got.completions) longest = std::max<std::uint64_t>(longest, done.tokens.size());
  MESSAGE(got.steps << " steps, longest completion " << longest << ", rows a rank " << got.rows / 4);
  CHECK(got.steps < longest + got.rows / 4 / 8);  // the longest one, and the rest with all slots full
}

TEST_CASE("all ranks work from the first step on, however few shards there are") {
  std::vector<PromptWork> job(256);
  for (std::uint32_t p = 0; p < job.size(); ++p) {
    job[p].prompt_index = p;
    job[p].tokens.assign(20, static_cast<TokenId>(p));
    job[p].params.max_tokens = 30;
    job[p].samples = {{0, p, {}}};
  }
  for (std::uint32_t prompts_a_shard : {16u, 64u, 256u}) {
    CAPTURE(prompts_a_shard);
    SimulationSettings s{.ranks = 64, .prompts_a_shard = prompts_a_shard, .letter_steps = 2};
    Outcome got = simulate(job, s);
    CHECK(got.busy_at_first == 64);
    CHECK(got.completions == by_definition(job).completions);
  }
}

TEST_CASE("domains that step apart make every row once, share the work, and do not wait for each other") {
  std::vector<PromptWork> job = random_job(33, {600, 60, 60, 2});
  const Outcome expected = by_definition(job);
  for (std::uint32_t ranks_of_domain : {1u, 8u, 24u}) {
    CAPTURE(ranks_of_domain);
    SimulationSettings s{.ranks = 64, .prompts_a_shard = 16, .letter_steps = 3};
    s.ranks_of_domain = ranks_of_domain, s.longest_step = 6, s.steps_ahead = 4;
    const Outcome got = simulate(job, s);
    CHECK(got.end == Phase::Finished);
    CHECK(got.completions == expected.completions);
    CHECK(got.prompt_scores == expected.prompt_scores);
    CHECK(*std::ranges::min_element(got.domain_steps) > 20);
    const auto [first, last] = std::ranges::minmax_element(got.last_busy);
    MESSAGE(ranks_of_domain << " ranks a domain: done at " << got.steps << ", first rank idle at " << *first);
    CHECK(*last - *first <= 6 * (60 + 2 * 6));  // the longest completion, and what a round may take
  }
}

TEST_CASE("one prompt with many samples is work for all ranks") {
  std::vector<PromptWork> job = random_job(21, {1, 20, 60, 1});
  job[0].params.max_tokens = 60;
  job[0].params.prompt_logprobs = true;
  job[0].samples.clear();
  for (std::uint32_t sample = 0; sample < 256; ++sample)
    job[0].samples.push_back({sample, sample_seed(21, 0, sample), {}});
  SimulationSettings s{.ranks = 8, .letter_steps = 1};
  Outcome got = simulate(job, s);
  const Outcome expected = by_definition(job);
  CHECK(got.busy_at_first == 8);
  CHECK(got.completions == expected.completions);
  CHECK(got.prompt_scores == expected.prompt_scores);
}

TEST_CASE("more ranks than shards, and no shards at all") {
  JobShape shape{3, 50, 20, 2};
  SimulationSettings s;
  s.ranks = 6, s.prompts_a_shard = 1;
  std::vector<PromptWork> job = random_job(3, shape);
  CHECK(simulate(job, s).completions == by_definition(job).completions);
  Outcome nothing = simulate({}, s);
  CHECK(nothing.end == Phase::Finished);
  CHECK(nothing.steps == 0);
}
