// Finished runs that are taken apart: what stays, what becomes a journal, what is removed. On runs made of numbers.
#include "dataset/reopen/reopen.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "dataset/journal/journal.hpp"
#include "run_for_tests.hpp"
#include "scratch.hpp"

namespace moemill::dataset {
namespace {

// A complete run in which every fifth prompt fails.
struct Merged {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run{scratch.path("run"), prompts, 2, OutputLayout{true, true, 2, true, 4, {}}};
  Merged() {
    run.write_all(prompts);
    run.merge();
  }
  std::vector<ShardId> all() const {
    std::vector<ShardId> shards;
    for (std::uint32_t s = 0; s < run.manifest.shard_count(); ++s) shards.push_back({static_cast<std::int32_t>(s)});
    return shards;
  }
  void take_apart(const std::vector<ShardId>& shards, const Verdicts& verdicts) {
    reopen(run.paths, run.manifest, run.manifest.prompts, run.manifest.completions, shards, 4, verdicts);
  }
};

Verdicts keep_all() {
  return {[](const Completion&) { return Fate::Keep; },
          [](std::uint64_t) { return 0u; },
          [](const Completion&) { return FinishReason::None; },
          [](std::uint64_t) { return true; },
          [](const PartialSample&) { return true; },
          nullptr};
}

TEST_CASE("outputs.h5 becomes the shards and journals that it was made of") {
  Merged m;
  const std::vector<Completion> before = [&] {
    const OutputReader file(m.run.paths.outputs());
    return file.read(0, file.rows());
  }();
  CHECK(remove_merged_shards(m.run.paths, m.run.manifest, [] {}) == m.run.manifest.shard_count());
  CHECK(read_manifest(m.run.paths)->shards_removed);
  CHECK(list_run(m.run.paths).finished.empty());
  CHECK(remove_merged_shards(m.run.paths, m.run.manifest, [] {}) == 0);
  const ShardId second{1};
  m.take_apart({second}, keep_all());
  CHECK_FALSE(files::exists(m.run.paths.outputs()));
  CHECK(OutputReader(m.run.paths.outputs_before()).rows() == m.run.manifest.completions);
  CHECK_FALSE(read_manifest(m.run.paths)->shards_removed);
  const RunListing listing = list_run(m.run.paths);
  CHECK(listing.finished.size() == m.run.manifest.shard_count() - 1);
  REQUIRE(listing.journals == std::vector{second});
  // The journal has everything that the shard had, also messages and scores.
  JournalContents journal = read_journal(m.run.paths.journal(second), m.run.manifest.run_id, second);
  write_shard(m.run.paths.shard(second), {m.run.manifest.range_of(second), journal.completions, journal.scores, {}},
              m.prompts, m.run.layout, attributes_for(m.run.manifest));
  remove_leftovers(m.run.paths);
  m.run.merge();
  const OutputReader file(m.run.paths.outputs());
  const std::vector<Completion> after = file.read(0, file.rows());
  REQUIRE(after.size() == before.size());
  for (std::size_t i = 0; i < after.size(); ++i) CHECK(differing_columns(after[i], before[i], file.layout()) == "");
  CHECK(m.run.verify(m.prompts, VerifyDepth::Deep).faults.empty());
}

TEST_CASE("rows that go on are partials, rows to make again are gone, and broken files are refused") {
  Merged m;
  Verdicts verdicts = keep_all();
  verdicts.fate = [](const Completion& row) {
    if (row.status == RowStatus::Failed)
      return row.error && row.error->code == ErrorCode::TooLong ? Fate::Again : Fate::Keep;
    return row.prompt_index < 2 && row.num_completion_tokens > 0 ? Fate::Continue : Fate::Keep;
  };
  const auto to_do = [&] {
    return shards_to_reopen(m.run.paths, m.run.manifest, m.run.manifest.prompts, m.run.manifest.completions, verdicts);
  };
  const auto shards = to_do();
  CHECK(!shards.empty());
  CHECK(shards.size() < m.all().size());
  verdicts.samples = [](std::uint64_t prompt) { return prompt == 2 ? 1000u : 0u; };
  const auto more = to_do();
  CHECK(std::binary_search(more.begin(), more.end(), ShardId{1}));
  m.take_apart(m.all(), verdicts);
  std::size_t partials = 0, rows = 0;
  for (ShardId shard : m.all()) {
    const JournalContents journal = read_journal(m.run.paths.journal(shard), m.run.manifest.run_id, shard);
    partials += journal.partials.size();
    rows += journal.completions.size();
    for (const Completion& row : journal.completions) CHECK(row.status == RowStatus::Ok);
    for (const PartialSample& partial : journal.partials) CHECK(partial.logprobs.size() == partial.token_ids.size());
  }
  CHECK(partials > 0);
  CHECK(partials + rows < m.run.manifest.completions);

  Merged broken;
  const std::string path = broken.run.paths.outputs();
  const std::uint64_t size = files::size_bytes(path);
  files::truncate(files::open_to_write(path).fd(), size - 1, path);
  CHECK_CONTAINS(message_of<SystemError>([&] {
                   shards_to_reopen(broken.run.paths, broken.run.manifest, broken.run.manifest.prompts,
                                    broken.run.manifest.completions, keep_all());
                 }),
                 "is damaged");
  CHECK_THROWS_AS(remove_merged_shards(broken.run.paths, broken.run.manifest, [] {}), SystemError);
  CHECK(list_run(broken.run.paths).finished.size() == broken.run.manifest.shard_count());
}

TEST_CASE("reading outputs.h5 back can be stopped, and then all shards stay") {
  Merged m;
  struct Stop {};
  CHECK_THROWS_AS(remove_merged_shards(m.run.paths, m.run.manifest, [] { throw Stop(); }), Stop);
  CHECK(list_run(m.run.paths).finished.size() == m.run.manifest.shard_count());
  CHECK_FALSE(m.run.manifest.shards_removed);
  CHECK_FALSE(read_manifest(m.run.paths)->shards_removed);
}

TEST_CASE("the manifest keeps what was changed") {
  Scratch scratch;
  PromptFile prompts = open_fixture("columns");
  Run run(scratch.path("run"), prompts, 2, OutputLayout{});
  run.manifest.history.push_back({"2026-01-02T03:04:05Z", "extend", 3, {{"sampling.n", {"2", "4"}}}, 5, 9, 10, 36});
  run.manifest.reopening = true;
  write_manifest(run.paths, run.manifest);
  const RunManifest again = *read_manifest(run.paths);
  CHECK(nlohmann::ordered_json(again) == nlohmann::ordered_json(run.manifest));
  CHECK(again.history.at(0).values.at("sampling.n").second == "4");
  CHECK(again.reopening);
  const nlohmann::ordered_json told = again;
  CHECK(nlohmann::ordered_json(told.get<RunManifest>()) == told);
  run.manifest.history.clear();
  CHECK_THROWS_AS(write_manifest(run.paths, run.manifest), UserError);
}

}  // namespace
}  // namespace moemill::dataset
