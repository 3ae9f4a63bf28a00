// A run directory over a backend without a model, for tests of the loop on one rank and on several: five prompts, two
// of them faulty, four samples each, in shards of a few prompts.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/hash.hpp"
#include "base/numbers/random.hpp"
#include "dataset/journal/index.hpp"
#include "mill/mill.hpp"
#include "support/fake_backend.hpp"
#include "support/temp_dir.hpp"
#include "system/comm/agree.hpp"

namespace moemill::mill::in_tests {

using moemill::test::FakeBackend;

constexpr std::uint32_t vocabulary = 100'000;

inline dataset::PromptFile token_prompts() {
  InputSettings input;
  input.path = std::string(MOEMILL_TEST_DATA) + "/dataset/tokens_packed.h5";  // five prompts; 1 and 4 are faulty
  return dataset::PromptFile(input, std::nullopt);
}

inline SamplingParams four_samples() {
  SamplingParams params;
  params.n = 4;
  params.max_tokens = 9;
  params.prompt_logprobs = true;
  return params;
}

// A run directory and all that stays the same over its attempts; collective.
struct Run {
  Comm world, domain;
  moemill::test::TempDir folder;
  dataset::PromptFile prompts = token_prompts();
  SamplingParams defaults = four_samples();
  dataset::RunPaths paths;
  dataset::RunManifest manifest;
  dataset::OutputLayout layout;
  dataset::RootAttributes attributes;
  model::ModelConfig config;
  StopSignals signals;

  // A domain has `ranks_of_domain` neighbours; 0: all ranks.
  explicit Run(const Comm& ranks = Comm::alone(), std::uint64_t shard_prompts = 2, int ranks_of_domain = 0)
      : world(ranks),
        domain(ranks.split(ranks_of_domain > 0 ? ranks.rank() / ranks_of_domain : 0, ranks.rank())),
        paths{broadcast_text(ranks, folder.str(), 0)} {
    manifest.run_id = broadcast_text(ranks, dataset::new_run_id(), 0);
    manifest.created_utc = "2026-01-02T03:04:05Z";
    manifest.prompts = prompts.size();
    manifest.completions = prompts.check_columns(defaults);
    manifest.shard_prompts = shard_prompts;
    layout.text = false;
    layout.prompt_logprobs = true;
    config.vocabulary = vocabulary;
    run_on_rank_zero(world, [&] { dataset::create_run(paths, manifest, "schema_version: 1\n"); });
  }

  std::vector<ShardId> unfinished() const {
    std::vector<ShardId> shards;
    const auto finished = dataset::list_run(paths).finished;
    for (std::uint32_t s = 0; s < manifest.shard_count(); ++s) {
      const ShardId shard{static_cast<std::int32_t>(s)};
      if (std::find(finished.begin(), finished.end(), shard) == finished.end()) shards.push_back(shard);
    }
    return shards;
  }

  // As job/estimate.hpp makes them.
  std::vector<schedule::Lot> lots() const {
    std::vector<schedule::Lot> all;
    const schedule::WorkPlan plan{.work = 240, .ranks = static_cast<std::uint32_t>(world.size())};
    for (ShardId shard : unfinished()) {
      const auto range = manifest.range_of(shard);
      const auto journal = dataset::index_journal(paths.journal(shard), manifest.run_id, shard);
      std::vector<schedule::PromptSize> sizes;
      for (std::uint64_t p = range.first; p < range.first + range.count; ++p) {
        const auto missing = static_cast<std::uint32_t>(journal.missing_samples(p, defaults.n).size());
        const bool begun = missing < defaults.n || journal.has_score(p) || !journal.partials_of(p).empty();
        if (missing > 0) sizes.push_back({p, 3, missing, defaults.max_tokens, begun});
      }
      for (const auto& lot : schedule::cut_lots(shard, sizes, plan)) all.push_back(lot);
    }
    return all;
  }

  // One attempt, collective; `flush_seconds` is how long finished rows may wait for their journal.
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
    const schedule::PrefixPlan nothing_alike;
    const ShardInputs inputs{prompts,      paths, manifest, defaults, nullptr, {TooLong::FailRow, 100, vocabulary},
                             nothing_alike};
    const std::vector<ShardId> shards = unfinished();
    schedule::LotList left(lots());
    world.barrier();  // before a rank changes what others list
    Mill mill(
        {world, domain, generator, backend, inputs, shards, layout, attributes, stop, nullptr, flush_seconds, 1e9},
        std::move(left));
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

}  // namespace moemill::mill::in_tests
