#include "dataset/counts.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "dataset/journal.hpp"
#include "dataset/outputs.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t error_rows = 4096;

// A finished file, of which no text is read: its seal is not looked at here, which would take long. Rows, and so
// /errors, are in the order of the prompts.
RunCounts open_and_count(const std::string& path, std::uint64_t prompts) {
  OutputReader file(path);
  RunCounts counts{file.rows(), file.errors(), prompts, 0};
  std::optional<std::uint64_t> last;
  for (std::uint64_t first = 0; first < file.errors(); first += error_rows) {
    for (std::uint64_t prompt : file.read_error_prompts(first, std::min(error_rows, file.errors() - first))) {
      if (prompt != last) counts.prompts_failed++;
      last = prompt;
    }
  }
  return counts;
}

RunCounts count_journal(const JournalContents& journal, ShardRange range, const std::vector<std::uint32_t>& samples) {
  RunCounts counts;
  std::map<std::uint64_t, std::uint32_t> ended;
  std::set<std::uint64_t> failed;
  for (const Completion& row : journal.completions) {
    counts.rows++;
    ended[row.prompt_index]++;
    if (row.status != RowStatus::Failed) continue;
    counts.rows_failed++;
    failed.insert(row.prompt_index);
  }
  counts.prompts_failed = failed.size();
  for (const auto& [prompt, rows] : ended) {
    if (!samples.empty() && rows == samples.at(prompt - range.first)) counts.prompts_done++;
  }
  return counts;
}

void add(RunCounts& sum, const RunCounts& more) {
  sum.rows += more.rows;
  sum.rows_failed += more.rows_failed;
  sum.prompts_done += more.prompts_done;
  sum.prompts_failed += more.prompts_failed;
}

}  // namespace

RunCounts RunCounter::count_file(const std::string& path, std::uint64_t prompts) {
  const auto stamp = files::stamp(path);  // ahead of the numbers: a file that is replaced meanwhile is opened again
  const auto known = seen_.find(path);
  if (known != seen_.end() && stamp == known->second.first) return known->second.second;
  const RunCounts counts = open_and_count(path, prompts);
  if (stamp) seen_[path] = {*stamp, counts};
  return counts;
}

RunCounts RunCounter::count(const RunPaths& paths, const RunManifest& manifest, const SampleCounts& samples) {
  if (files::exists(paths.outputs())) return count_file(paths.outputs(), manifest.prompts);
  // Journals first: the rows of a shard that finishes meanwhile are then counted from its file.
  std::map<ShardId, RunCounts> journals;
  for (ShardId shard : list_run(paths, manifest).journals) {
    ShardRange range = manifest.range_of(shard);
    journals[shard] = count_journal(read_journal(paths.journal(shard), manifest.run_id, shard), range, samples(range));
  }
  RunCounts counts;
  for (ShardId shard : list_run(paths, manifest).finished) {
    add(counts, count_file(paths.shard(shard), manifest.range_of(shard).count));
    journals.erase(shard);
  }
  for (const auto& [shard, rows] : journals) add(counts, rows);
  return counts;
}

}  // namespace moemill::dataset
