// Samples that become longer than expected in a cache that does not hold all of them: some are put back, and the
// answers are the same.
#include <doctest/doctest.h>

#include <algorithm>

#include "base/numbers/random.hpp"
#include "schedule/simulation.hpp"

using namespace moemill;
using namespace moemill::schedule;
using namespace moemill::schedule::test;

namespace {

struct Tight {
  JobShape shape;
  SchedulerSettings layers;
};

// Answers of about 100 tokens, of which some are many times as long; the least pages that a sample fits, or a few more.
Tight tight(Chance& chance) {
  Tight t;
  t.shape = {chance.from(2, 40), chance.from(1, 200), chance.from(200, 900), chance.from(1, 5)};
  const std::uint32_t longest = t.shape.longest_prompt + t.shape.longest_completion, kind = chance.from(0, 2);
  const std::uint32_t spare = chance.from(0, 2) * chance.from(0, 8);
  t.layers = {chance.from(2, 20), chance.from(2, 200), pages_for(longest) + 1 + spare, 4096};
  if (kind != 0) {
    t.layers.window = chance.from(1, 600);
    t.layers.window_pages = least_window_pages(t.layers.window, longest) + 1 + spare;
  }
  if (kind == 2) t.layers.pages = 0;
  return t;
}

SimulationSettings on_ranks(Chance& chance, const Tight& t) {
  SimulationSettings s;
  s.ranks = chance.from(1, 4), s.prompts_a_shard = chance.from(1, 9), s.letter_steps = chance.from(0, 3);
  s.scheduler = t.layers;
  s.scheduler.max_num_seqs = chance.from(2, 20), s.scheduler.max_num_batched_tokens = chance.from(2, 200);
  s.ranks_of_domain = chance.from(0, s.ranks), s.longest_step = chance.from(1, 5);
  return s;
}

std::uint64_t rows_of(const std::vector<PromptWork>& job) {
  std::uint64_t rows = 0;
  for (const PromptWork& prompt : job) rows += prompt.prompt_rows();
  return rows;
}

// What a drained job has left to do.
std::vector<PromptWork> rest_of(const std::vector<PromptWork>& job, const Outcome& got,
                                const std::map<SampleKey, Completion>& done) {
  std::vector<PromptWork> rest;
  for (PromptWork prompt : job) {
    if (got.prompt_scores.count(prompt.prompt_index) > 0) prompt.params.prompt_logprobs = false;
    std::vector<SampleWork> missing;
    for (SampleWork& sample : prompt.samples) {
      const SampleKey key{prompt.prompt_index, sample.sample_index};
      if (done.count(key) > 0) continue;
      if (const auto partial = got.partials.find(key); partial != got.partials.end()) sample.resumed = partial->second;
      missing.push_back(sample);
    }
    prompt.samples = std::move(missing);
    if (!prompt.samples.empty()) rest.push_back(std::move(prompt));
  }
  return rest;
}

}  // namespace

TEST_CASE("samples that outgrow the cache are put back and have the same tokens, with windows, samples and prefixes") {
  std::uint64_t put_back = 0, again = 0, all = 0;
  for (std::uint64_t seed = 0; seed < 800; ++seed) {
    CAPTURE(seed);
    Chance chance{seed, 2};
    Tight t = tight(chance);
    const bool alike = chance.from(0, 1) == 0;
    if (alike) t.shape.alike = chance.from(1, 10);
    const std::vector<PromptWork> job = random_job(seed, t.shape);
    SimulationSettings s = on_ranks(chance, t);
    s.scheduler.share_prefixes = alike, s.by_prefix = alike && chance.from(0, 3) > 0;
    const Outcome expected = by_definition(job, s.scheduler), got = simulate(job, s);
    REQUIRE(got.end == Phase::Finished);
    REQUIRE(got.completions == expected.completions);
    REQUIRE(got.prompt_scores == expected.prompt_scores);
    const bool whole = s.ranks == 1 || t.shape.most_samples < 2;  // no prompt's samples went to several ranks
    if (whole) REQUIRE(got.prompt_rows - got.prompt_rows_again + got.shared_rows == rows_of(job));
    put_back += got.generated_rows_again > 0 ? 1 : 0;
    again += got.prompt_rows_again + got.generated_rows_again, all += got.rows;
  }
  MESSAGE(put_back << " jobs put samples back: " << again << " of " << all << " rows were computed again");
  CHECK(put_back > 100);
}

TEST_CASE("a job that is drained while samples are put back is resumed with the same tokens") {
  std::uint64_t put_back = 0;
  for (std::uint64_t seed = 0; seed < 250; ++seed) {
    CAPTURE(seed);
    Chance chance{seed + 100000, 2};
    const Tight t = tight(chance);
    std::vector<PromptWork> job = random_job(seed, t.shape);
    const Outcome expected = by_definition(job, t.layers);
    std::map<SampleKey, Completion> done;
    for (int attempt = 0; attempt < 4; ++attempt) {
      SimulationSettings s = on_ranks(chance, t);
      if (attempt < 3) s.drain_at_step = chance.from(0, 600);
      const Outcome got = simulate(job, s);
      for (const auto& [key, completion] : got.completions) REQUIRE(done.try_emplace(key, completion).second);
      put_back += got.generated_rows_again > 0 ? 1 : 0;
      job = rest_of(job, got, done);
    }
    REQUIRE(done == expected.completions);
  }
  CHECK(put_back > 20);
}

TEST_CASE("where the cache holds all that can run, nothing is put back and a run takes as many steps") {
  const std::vector<PromptWork> job = random_job(3, {300, 100, 500, 2});
  std::uint64_t steps = 0;
  for (const std::uint32_t pages : {16u * 10, 4000u}) {
    SimulationSettings s;
    s.ranks = 2, s.scheduler = {16, 128, pages, 4096};
    const Outcome got = simulate(job, s);
    CHECK(got.generated_rows_again + got.prompt_rows_again == 0);
    CHECK((steps == 0 || got.steps == steps));
    steps = got.steps;
  }
}

TEST_CASE("a small cache is filled with what is expected, not with what may be") {
  std::vector<PromptWork> job = random_job(7, {400, 40, 60, 1});
  for (PromptWork& prompt : job) prompt.params.max_tokens = 2000;  // of which about 100 are drawn
  SimulationSettings s;
  s.scheduler = {32, 512, 66, 4096};
  const Outcome got = simulate(job, s);
  std::uint64_t tokens = 0;
  for (const auto& [key, done] : got.completions) tokens += done.tokens.size();
  const std::uint64_t again = got.prompt_rows_again + got.generated_rows_again;
  MESSAGE(got.steps << " steps for " << tokens << " tokens, " << again << " rows again; two at a time would take "
                    << tokens / 2);
  CHECK(got.steps * 8 < tokens);
  CHECK(again * 20 < got.rows);
}
