#include "dataset/status.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "dataset/attempts.hpp"
#include "dataset/run_lock.hpp"

namespace moemill::dataset {
namespace {

std::string last_line(const std::string& path) {
  std::string text = files::read_text(path).value_or("");
  text.resize(text.find_last_of('\n') == std::string::npos ? 0 : text.find_last_of('\n'));
  std::size_t before = text.find_last_of('\n');
  return before == std::string::npos ? text : text.substr(before + 1);
}

}  // namespace

RunStatus read_status(const std::string& dir, const SampleCounts& samples) {
  RunPaths paths{dir};
  auto manifest = read_manifest(paths);
  if (!manifest) user_error("{}: holds no run (there is no {})", dir, paths.manifest());
  RunStatus status;
  status.manifest = *manifest;
  status.running = lock_holder(paths);
  status.exit_code = manifest->exit_code;
  if (auto end = read_end(paths, manifest->attempts); end && !status.running) {
    status.end_reason = end->rank == 0 ? end->reason : fmt::format("rank {}: {}", end->rank, end->reason);
    if (!status.exit_code) status.exit_code = end->exit_code;  // the rank that failed could not reach run.json
  }
  status.merged = files::exists(paths.outputs());
  status.last_metrics = last_line(paths.metrics());
  status.summary = files::read_text(paths.summary()).value_or("");
  status.shards_finished = static_cast<std::uint32_t>(list_run(paths).finished.size());
  const RunCounts counts = count_run(paths, *manifest, samples);
  status.rows_ok = counts.rows - counts.rows_failed;
  status.rows_failed = counts.rows_failed;
  status.prompts_done = counts.prompts_done;
  status.rows_pending = manifest->completions - std::min(counts.rows, manifest->completions);
  return status;
}

}  // namespace moemill::dataset
