// Counts of the rows on disk, for status and the end of a job.
#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "dataset/checks/status.hpp"
#include "dataset/journal/journal.hpp"
#include "dataset/json_lines.hpp"
#include "dataset/lock/run_lock.hpp"
#include "run_for_tests.hpp"
#include "scratch.hpp"

namespace moemill::dataset {
namespace {

TEST_CASE("status counts rows of shards and journals") {
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 2, OutputLayout{});
  auto samples = [&](ShardRange r) { return prompts.read_sample_counts(r.first, r.count, SamplingParams()); };
  RunCounter counter;
  auto read_status = [&](const std::string& dir) { return dataset::read_status(dir, samples, counter); };
  RunStatus status = read_status(run.paths.dir);
  CHECK(status.rows_pending == 9);
  CHECK(status.last_metrics.empty());
  CHECK_FALSE(status.running);
  run.write(prompts, ShardId{0});
  {
    RunLock lock(run.paths, {[] {}, [](const std::string&) {}});
    JournalWriter journal(run.paths.journal(ShardId{1}), run.manifest.run_id, ShardId{1}, 0);
    journal.append(ok_row(2, 0, 3));
    journal.append(failed_row(3, 0, std::string("x"), {ErrorCode::Empty, "empty"}));
    journal.close();
    JsonLines metrics(run.paths.metrics());
    metrics.append(R"({"step":1})");
    metrics.append(R"({"step":2})");
    status = read_status(run.paths.dir);
    REQUIRE(status.running);
    CHECK_CONTAINS(*status.running, std::to_string(::getpid()));
  }
  CHECK_FALSE(read_status(run.paths.dir).running);
  CHECK(status.rows_ok == 3 + 1);
  CHECK(status.rows_failed == 1);
  CHECK(status.rows_pending == 4);
  CHECK(status.prompts_done == 3);  // prompt 3 has two more samples to come
  CHECK(status.shards_finished == 1);
  CHECK(status.last_metrics == R"({"step":2})");
  run.write(prompts, ShardId{1}), run.write(prompts, ShardId{2});
  CHECK(read_status(run.paths.dir).shards_finished == 3);  // the journal still exists and is not counted
  CHECK(read_status(run.paths.dir).rows_pending == 0);
  run.merge();
  status = read_status(run.paths.dir);
  CHECK(status.merged);
  CHECK(status.rows_ok + status.rows_failed == run.manifest.completions);
  CHECK_THROWS_AS(read_status(scratch.path("nothing")), UserError);
}

TEST_CASE("a finished file is counted once, and again when another stands there") {
  namespace fs = std::filesystem;
  PromptFile prompts = open_fixture("columns");
  Scratch scratch;
  Run run(scratch.path("run"), prompts, 2, OutputLayout{});
  auto samples = [&](ShardRange r) { return prompts.read_sample_counts(r.first, r.count, SamplingParams()); };
  auto rows = [&](RunCounter& counter) { return counter.count(run.paths, run.manifest, samples).rows; };
  for (int s = 0; s < 3; ++s) run.write(prompts, ShardId{s});
  RunCounter counter;
  CHECK(rows(counter) == run.manifest.completions);
  const std::string shard = run.paths.shard(ShardId{1});
  const auto written = fs::last_write_time(shard);
  const std::string kept = *files::read_text(shard);
  std::ofstream(shard, std::ios::binary) << std::string(kept.size(), '?');
  fs::last_write_time(shard, written);
  CHECK(rows(counter) == run.manifest.completions);  // no file is opened
  RunCounter fresh;
  CHECK_THROWS_AS(rows(fresh), SystemError);
  fs::last_write_time(shard, written + std::chrono::seconds(1));
  CHECK_THROWS_AS(rows(counter), SystemError);
  files::remove(shard);
  run.write(prompts, ShardId{1});
  CHECK(rows(counter) == run.manifest.completions);
  files::remove(shard);
  CHECK(rows(counter) < run.manifest.completions);
}

}  // namespace
}  // namespace moemill::dataset
