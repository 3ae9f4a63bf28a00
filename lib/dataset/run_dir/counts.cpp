#include "dataset/run_dir/counts.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "dataset/journal/journal.hpp"
#include "dataset/outputs/outputs.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t error_block_rows = 4096;  // rows of /errors that are read at a time

// Counts a finished file. It has rows of every prompt in its range; they, and therefore /errors, are in the order of
// the prompts.
RunCounts open_and_count(const std::string& path, std::uint64_t most_file_bytes) {
  OutputReader file(path);
  RunCounts counts;
  counts.rows = file.rows();
  counts.rows_failed = file.errors();
  if (counts.rows > 0) counts.prompts_done = file.read_prompts(counts.rows - 1, 1)[0] - file.read_prompts(0, 1)[0] + 1;
  const bool with_codes =
      file.errors() > 0 && files::size_bytes(path) <= most_file_bytes && !broken_seal(path, [] {}).has_value();
  std::optional<std::uint64_t> last;
  for (std::uint64_t first = 0; first < file.errors(); first += error_block_rows) {
    const std::uint64_t count = std::min(error_block_rows, file.errors() - first);
    for (std::uint64_t prompt : file.read_error_prompts(first, count)) {
      if (prompt != last) counts.prompts_failed++;
      last = prompt;
    }
    if (!with_codes) continue;
    for (const std::string& code : file.read_errors(first, count).code) counts.failed_by_code[code]++;
  }
  counts.prompts_done -= std::min(counts.prompts_done, counts.prompts_failed);
  return counts;
}

RunCounts count_journal(const JournalContents& journal, ShardRange range, const std::vector<std::uint32_t>& samples) {
  RunCounts counts;
  std::map<std::uint64_t, std::uint32_t> ended_rows;  // by prompt
  std::set<std::uint64_t> failed_prompts;
  for (const Completion& row : journal.completions) {
    counts.rows++;
    ended_rows[row.prompt_index]++;
    if (row.status != RowStatus::Failed) continue;
    counts.rows_failed++;
    counts.failed_by_code[std::string(name_of(row.error ? row.error->code : ErrorCode::Internal))]++;
    failed_prompts.insert(row.prompt_index);
  }
  counts.prompts_failed = failed_prompts.size();
  for (const auto& [prompt, rows] : ended_rows) {
    if (!samples.empty() && rows == samples.at(prompt - range.first) && !failed_prompts.contains(prompt))
      counts.prompts_done++;
  }
  return counts;
}

void add(RunCounts& sum, const RunCounts& more) {
  for (const RunCountField& field : run_count_fields) sum.*field.member += more.*field.member;
  for (const auto& [code, count] : more.failed_by_code) sum.failed_by_code[code] += count;
}

}  // namespace

void to_json(nlohmann::ordered_json& json, const RunCounts& counts) {
  for (const RunCountField& field : run_count_fields) json[field.name] = counts.*field.member;
  json["failed_by_code"] = counts.failed_by_code;
}

void from_json(const nlohmann::ordered_json& json, RunCounts& counts) {
  for (const RunCountField& field : run_count_fields) json.at(field.name).get_to(counts.*field.member);
  json.at("failed_by_code").get_to(counts.failed_by_code);
}

RunCounts RunCounter::count_file(const std::string& path) {
  // The stamp is taken before the file is read: if the file is replaced while it is being counted, the next call sees a
  // different stamp and opens it again.
  const auto stamp = files::stamp(path);
  const auto known = seen_.find(path);
  if (known != seen_.end() && stamp == known->second.first) return known->second.second;
  const RunCounts counts = open_and_count(path, most_file_bytes_);
  if (stamp) seen_[path] = {*stamp, counts};
  return counts;
}

RunCounts RunCounter::count(const RunPaths& paths, const RunManifest& manifest, const SampleCounts& samples) {
  if (files::exists(paths.outputs())) return count_file(paths.outputs());
  // Journals are read first, so that the rows of a shard that finishes meanwhile are counted from its file.
  std::map<ShardId, RunCounts> journals;
  for (ShardId shard : list_run(paths, manifest).journals) {
    ShardRange range = manifest.range_of(shard);
    journals[shard] = count_journal(read_journal(paths.journal(shard), manifest.run_id, shard), range, samples(range));
  }
  RunCounts counts;
  for (ShardId shard : list_run(paths, manifest).finished) {
    add(counts, count_file(paths.shard(shard)));
    journals.erase(shard);
  }
  for (const auto& [shard, rows] : journals) add(counts, rows);
  return counts;
}

}  // namespace moemill::dataset
