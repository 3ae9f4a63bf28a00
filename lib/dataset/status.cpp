#include "dataset/status.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.hpp"
#include "dataset/journal.hpp"
#include "dataset/outputs.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t status_rows = 1u << 20;

struct Counts {
  std::uint64_t ok = 0, failed = 0, prompts = 0;
  void add(RowStatus row) {
    if (row == RowStatus::Ok) ok++;
    if (row == RowStatus::Failed) failed++;
  }
  void add(const Counts& more) { ok += more.ok, failed += more.failed, prompts += more.prompts; }
};

Counts count_file(const std::string& path, std::uint64_t prompts) {
  Counts counts;
  counts.prompts = prompts;
  OutputReader file(path);
  for (std::uint64_t first = 0; first < file.rows(); first += status_rows) {
    for (std::uint8_t row : file.read_status(first, std::min(status_rows, file.rows() - first)))
      counts.add(static_cast<RowStatus>(row));
  }
  return counts;
}

Counts count_journal(const JournalContents& journal) {
  Counts counts;
  std::optional<std::uint64_t> last;
  for (const Completion& row : journal.completions) {
    counts.add(row.status);
    if (row.prompt_index != last) counts.prompts++;
    last = row.prompt_index;
  }
  return counts;
}

Counts count_run(const RunPaths& paths, const RunManifest& manifest) {
  // Journals first: the rows of a shard that finishes meanwhile are then counted from its file.
  std::map<ShardId, Counts> journals;
  for (ShardId shard : list_run(paths).journals)
    journals[shard] = count_journal(read_journal(paths.journal(shard), manifest.run_id, shard));
  Counts counts;
  for (ShardId shard : list_run(paths).finished) {
    counts.add(count_file(paths.shard(shard), manifest.range_of(shard).count));
    journals.erase(shard);
  }
  for (const auto& [shard, rows] : journals) counts.add(rows);
  return counts;
}

std::string last_line(const std::string& path) {
  std::string text = files::read_text(path).value_or("");
  text.resize(text.find_last_of('\n') == std::string::npos ? 0 : text.find_last_of('\n'));
  std::size_t before = text.find_last_of('\n');
  return before == std::string::npos ? text : text.substr(before + 1);
}

}  // namespace

RunStatus read_status(const std::string& dir) {
  RunPaths paths{dir};
  auto manifest = read_manifest(paths);
  if (!manifest) user_error("{}: holds no run (there is no {})", dir, paths.manifest());
  RunStatus status;
  status.manifest = *manifest;
  status.running = lock_holder(paths);
  status.merged = files::exists(paths.outputs());
  status.last_metrics = last_line(paths.metrics());
  status.summary = files::read_text(paths.summary()).value_or("");
  status.shards_finished = static_cast<std::uint32_t>(list_run(paths).finished.size());
  Counts counts = status.merged ? count_file(paths.outputs(), manifest->prompts) : count_run(paths, *manifest);
  status.rows_ok = counts.ok;
  status.rows_failed = counts.failed;
  status.prompts_done = counts.prompts;
  status.rows_pending = manifest->completions - std::min(counts.ok + counts.failed, manifest->completions);
  return status;
}

}  // namespace moemill::dataset
