// The loop and its open shards over a backend without a model, on one rank: rows go to journals and shards, whatever
// interrupts it, and each row is made once. HDF5 is called from one thread, so there is one rank.
#include "mill/mill.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <stdexcept>
#include <thread>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/numbers/random.hpp"
#include "support/fake_backend.hpp"
#include "support/temp_dir.hpp"

using namespace moemill;
using namespace moemill::mill;
using test::FakeBackend;

namespace {

constexpr std::uint32_t vocabulary = 100'000;

dataset::PromptFile token_prompts() {
  InputSettings input;
  input.path = std::string(MOEMILL_TEST_DATA) + "/dataset/tokens_packed.h5";  // five prompts; 1 and 4 are faulty
  return dataset::PromptFile(input, std::nullopt);
}

SamplingParams four_samples() {
  SamplingParams params;
  params.n = 4;
  params.max_tokens = 9;
  params.prompt_logprobs = true;
  return params;
}

// A run directory and all that stays the same over its attempts.
struct Run {
  test::TempDir folder;
  dataset::PromptFile prompts = token_prompts();
  SamplingParams defaults = four_samples();
  dataset::RunPaths paths{folder.str()};
  dataset::RunManifest manifest;
  dataset::OutputLayout layout;
  dataset::RootAttributes attributes;
  model::ModelConfig config;
  StopSignals signals;

  Run() {
    manifest.run_id = dataset::new_run_id();
    manifest.created_utc = "2026-01-02T03:04:05Z";
    manifest.prompts = prompts.size();
    manifest.completions = prompts.check_columns(defaults);
    manifest.shard_prompts = 2;
    layout.text = false;
    layout.prompt_logprobs = true;
    dataset::create_run(paths, manifest, "schema_version: 1\n");
    config.vocabulary = vocabulary;
  }

  std::vector<schedule::UnclaimedShard> unfinished() const {
    std::vector<schedule::UnclaimedShard> shards;
    const auto finished = dataset::list_run(paths).finished;
    for (std::uint32_t s = 0; s < manifest.shard_count(); ++s) {
      const ShardId shard{static_cast<std::int32_t>(s)};
      if (std::find(finished.begin(), finished.end(), shard) == finished.end()) shards.push_back({shard, 8, 10, 82});
    }
    return shards;
  }

  // One attempt; `flush_seconds` is how long finished rows may wait for their journal.
  struct Attempt {
    MillEnd end;
    Totals totals;
    std::string drain_reason;
  };
  Attempt turn(FakeBackend& backend, double flush_seconds = 1e9) {
    RuntimeSettings runtime;
    runtime.max_wall_time_seconds = 1e9;
    StopFile stop_file(paths.dir, "halt");
    StopWish stop(signals, runtime, now_seconds());
    stop.look_for(stop_file);
    Generator generator({config, nullptr, backend},
                        {.max_num_seqs = 3, .max_num_batched_tokens = 16, .pages = 20, .max_model_len = 100},
                        {DecodeText::No, text::SkipSpecial::Yes});
    const ShardInputs inputs{prompts, paths, manifest, defaults, nullptr, {TooLong::FailRow, 100, vocabulary}};
    const Comm world = Comm::alone();
    Mill mill({world, generator, backend, inputs, layout, attributes, stop, nullptr, flush_seconds, 1e9},
              schedule::ClaimState(unfinished()));
    const MillEnd end = mill.run();
    return {end, mill.totals(), mill.drain_reason()};
  }

  void check_finished() const {
    CHECK(unfinished().empty());
    CHECK(dataset::list_run(paths).journals.empty());
    std::uint64_t rows = 0;
    for (std::uint32_t s = 0; s < manifest.shard_count(); ++s) {
      const dataset::OutputReader shard(paths.shard({static_cast<std::int32_t>(s)}));
      for (const dataset::Completion& row : shard.read(0, shard.rows())) check(row), ++rows;
    }
    CHECK(rows == manifest.completions);
  }

  void check(const dataset::Completion& row) const {
    CAPTURE(row.prompt_index);
    CAPTURE(row.sample_index);
    const dataset::Prompt prompt = prompts.read(row.prompt_index, 1, defaults).front();
    if (row.prompt_index == 1 || row.prompt_index == 4) {
      CHECK(row.status == dataset::RowStatus::Failed);
      return;
    }
    CHECK(row.status == dataset::RowStatus::Ok);
    const std::uint64_t seed = sample_seed(defaults.seed, stable_hash64(dataset::to_text(prompt.id)), row.sample_index);
    std::vector<TokenId> sequence = prompt.token_ids;
    for (TokenId token : row.token_ids) {
      REQUIRE(token == FakeBackend::next(sequence, seed, vocabulary));
      sequence.push_back(token);
    }
    CHECK(row.token_ids.size() == defaults.max_tokens);
  }
};

}  // namespace

TEST_CASE("the loop makes every row of every shard, and faulty prompts become failed rows") {
  Run run;
  FakeBackend backend(vocabulary);
  const Run::Attempt attempt = run.turn(backend);
  CHECK(attempt.end == MillEnd::Finished);
  CHECK(attempt.drain_reason.empty());
  CHECK(attempt.totals.completions == 20);
  CHECK(attempt.totals.rows_failed == 8);
  CHECK(attempt.totals.prompts_done == 3);
  CHECK(attempt.totals.prompts_failed == 2);
  CHECK(attempt.totals.generated_tokens == 12 * 9);
  CHECK(attempt.totals.prompt_tokens == 3 + 1 + 2);
  CHECK(attempt.totals.cached_prompt_tokens == 3 * (3 + 1 + 2));
  run.check_finished();
}

TEST_CASE("a backend that fails in a step ends the attempt; what was finished is kept and not made again") {
  Run run;
  std::uint64_t before = 0;
  for (std::size_t step : {std::size_t{3}, std::size_t{12}, std::size_t{14}}) {
    FakeBackend backend(vocabulary);
    backend.on_step([&](std::size_t at) {
      if (at == step) throw std::runtime_error("the device is gone");
    });
    CHECK_THROWS_WITH(run.turn(backend), "the device is gone");
    std::uint64_t kept = 0;
    for (ShardId shard : dataset::list_run(run.paths).journals) {
      kept += dataset::read_journal(run.paths.journal(shard), run.manifest.run_id, shard).completions.size();
    }
    for (ShardId shard : dataset::list_run(run.paths).finished) {
      kept += dataset::OutputReader(run.paths.shard(shard)).rows();
    }
    CHECK(kept >= before);
    before = kept;
  }
  CHECK(before > 0);
  CHECK(before < 20);
  FakeBackend backend(vocabulary);
  const Run::Attempt last = run.turn(backend);
  CHECK(last.end == MillEnd::Finished);
  CHECK(last.totals.completions == 20 - before);
  run.check_finished();
}

TEST_CASE("a stop file drains the loop; samples go on where they stopped") {
  Run run;
  FakeBackend first(vocabulary), second(vocabulary);
  const std::string file = run.paths.dir + "/halt";
  first.on_step([&](std::size_t at) {
    if (at != 7) return;
    std::ofstream(file) << "halt";
    std::this_thread::sleep_for(std::chrono::seconds(1));  // longer than between two looks for the file
  });
  const Run::Attempt stopped = run.turn(first);
  CHECK(stopped.end == MillEnd::Drained);
  CHECK(stopped.drain_reason.find("halt") != std::string::npos);
  std::uint64_t partial_tokens = 0;
  for (ShardId shard : dataset::list_run(run.paths).journals) {
    const auto journal = dataset::read_journal(run.paths.journal(shard), run.manifest.run_id, shard);
    for (const auto& partial : journal.partials) partial_tokens += partial.token_ids.size();
  }
  CHECK(partial_tokens > 0);
  std::filesystem::remove(file);
  const Run::Attempt last = run.turn(second);
  CHECK(last.end == MillEnd::Finished);
  CHECK(stopped.totals.completions + last.totals.completions == 20);
  CHECK(stopped.totals.generated_tokens + last.totals.generated_tokens == 12 * 9);
  run.check_finished();
}
