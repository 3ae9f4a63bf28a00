#include "dataset/checks/status.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "dataset/lock/run_lock.hpp"

namespace moemill::dataset {
namespace {

// The file may be long, so only its end is read: twice as much each time, until that contains a whole line.
std::string last_line(const std::string& path) {
  if (const auto there = files::stamp(path); !there || !there->is_regular) return "";
  for (std::uint64_t most = 16384;; most *= 2) {
    const std::string tail = files::read_tail(path, most);
    const std::size_t end = tail.rfind('\n');
    const std::size_t before = end == std::string::npos || end == 0 ? std::string::npos : tail.rfind('\n', end - 1);
    if (before != std::string::npos) return tail.substr(before + 1, end - before - 1);
    if (tail.size() < most) return end == std::string::npos ? "" : tail.substr(0, end);
  }
}

[[noreturn]] void fail_without_run(const RunPaths& paths) {
  const auto there = files::stamp(paths.dir);
  if (!there) user_error("{}: no such folder; give the one that output.dir names", paths.dir);
  if (there->is_regular) user_error("{}: is a file; give the folder that output.dir names", paths.dir);
  if (const auto holder = lock_holder(paths))
    user_error("{}: holds no run yet: a job is about to begin one ({}); look again in a moment", paths.dir, *holder);
  user_error("{}: holds no run (there is no {})", paths.dir, paths.manifest());
}

}  // namespace

RunStatus read_status(const std::string& dir, const SampleCounts& samples, RunCounter& counter) {
  RunPaths paths{dir};
  auto manifest = read_manifest(paths);
  if (!manifest) fail_without_run(paths);
  RunStatus status;
  status.manifest = *manifest;
  status.running = lock_holder(paths);
  if (!status.running) status.exit_code = manifest->exit_code;
  if (auto end = read_end(paths, manifest->attempts); end && !status.running) {
    status.end_reason = end->rank == 0 ? end->reason : fmt::format("rank {}: {}", end->rank, end->reason);
    if (!status.exit_code) status.exit_code = end->exit_code;  // a rank that fails alone does not write run.json
  }
  if (const auto records = attempt_records(paths); records.contains(manifest->attempts))
    status.attempt = records.at(manifest->attempts);
  status.merged = files::exists(paths.outputs()) && !manifest->reopening;
  status.kept_before = !status.merged && files::exists(paths.outputs_before());
  status.last_metrics = last_line(paths.metrics());
  status.summary = files::read_text(paths.summary()).value_or("");
  status.shards_finished = static_cast<std::uint32_t>(list_run(paths, *manifest).finished.size());
  if (status.merged) status.shards_finished = manifest->shard_count();  // their rows are in outputs.h5
  const RunCounts counts = counter.count(paths, *manifest, samples);
  status.rows_ok = counts.rows - counts.rows_failed;
  status.rows_failed = counts.rows_failed;
  status.prompts_done = counts.prompts_done;
  status.prompts_failed = counts.prompts_failed;
  status.failed_by_code = counts.failed_by_code;
  if (!status.running && counts.rows < manifest->completions)
    status.tries_without_a_row = tries_without_a_row(paths, counts.rows);
  status.rows_pending = manifest->completions - std::min(counts.rows, manifest->completions);
  return status;
}

}  // namespace moemill::dataset
