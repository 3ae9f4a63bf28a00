// The loop and its shards over a backend without a model, on one rank: rows go to journals and shards, whatever
// interrupts it, and each row is made once. mill_mpi_test.cpp has several ranks.
#include "mill/mill.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "mill/run_for_tests.hpp"

using namespace moemill;
using namespace moemill::mill;
using namespace moemill::mill::in_tests;

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
