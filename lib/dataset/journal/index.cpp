#include "dataset/journal/index.hpp"

#include <algorithm>

#include "dataset/journal/keep_first.hpp"

namespace moemill::dataset {
namespace {

template <class Entry>
std::span<const Entry> entries_of(std::span<const Entry> entries, std::uint64_t prompt) {
  auto before = [](const Entry& entry, std::uint64_t index) { return entry.prompt_index < index; };
  const auto first = std::lower_bound(entries.begin(), entries.end(), prompt, before);
  const auto end = std::lower_bound(first, entries.end(), prompt + 1, before);
  return {first, end};
}

}  // namespace

std::span<const JournalIndex::Row> JournalIndex::rows_of(std::uint64_t prompt_index) const {
  return entries_of(std::span(rows), prompt_index);
}

std::span<const JournalIndex::Partial> JournalIndex::partials_of(std::uint64_t prompt_index) const {
  return entries_of(std::span(partials), prompt_index);
}

bool JournalIndex::has_score(std::uint64_t prompt_index) const {
  return std::binary_search(scored_prompts.begin(), scored_prompts.end(), prompt_index);
}

std::vector<std::uint32_t> JournalIndex::missing_samples(std::uint64_t prompt_index, std::uint32_t n) const {
  std::vector<std::uint32_t> missing;
  auto row = rows_of(prompt_index).begin();
  const auto end = rows_of(prompt_index).end();
  for (std::uint32_t s = 0; s < n; ++s) {
    while (row != end && row->sample_index < s) ++row;
    if (row == end || row->sample_index != s) missing.push_back(s);
  }
  return missing;
}

JournalIndex index_journal(const std::string& path, const std::string& run_id, ShardId shard) {
  const std::string bytes = files::read_text(path).value_or("");
  JournalIndex index;
  const auto visit = [&](JournalRecord&& record, RecordPlace place) {
    if (const auto* row = std::get_if<Completion>(&record))
      index.rows.push_back({row->prompt_index, row->sample_index, row->status});
    if (const auto* score = std::get_if<PromptScore>(&record)) index.scored_prompts.push_back(score->prompt_index);
    if (const auto* partial = std::get_if<PartialSample>(&record))
      index.partials.push_back({partial->prompt_index, partial->sample_index, partial->token_ids.size(), place});
  };
  static_cast<JournalExtent&>(index) =
      for_each_record(std::as_bytes(std::span(bytes.data(), bytes.size())), path, run_id, shard, visit);
  keep_first(index.rows);
  keep_first(index.scored_prompts);
  keep_longest_unfinished(index.partials, index.rows,
                          [](const JournalIndex::Partial& partial) { return partial.tokens; });
  return index;
}

}  // namespace moemill::dataset
