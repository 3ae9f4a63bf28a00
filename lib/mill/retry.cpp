#include "mill/retry.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "dataset/journal.hpp"
#include "dataset/seal.hpp"

namespace moemill::mill {
namespace {

using dataset::RowStatus;

bool any_failed(const dataset::OutputReader& reader) {
  auto status = reader.read_status(0, reader.rows());
  return std::find(status.begin(), status.end(), static_cast<std::uint8_t>(RowStatus::Failed)) != status.end();
}

void keep_scores(const dataset::OutputReader& reader, std::uint64_t first_prompt, dataset::JournalWriter& journal) {
  const auto scores = reader.read_scores(0, reader.scored_prompts());
  auto value = scores.values.begin();
  for (std::size_t i = 0; i < scores.counts.size(); ++i) {
    auto end = value + static_cast<std::ptrdiff_t>(scores.counts[i]);
    if (value != end) journal.append(dataset::PromptScore{first_prompt + i, {value, end}});
    value = end;
  }
}

// The good rows of a finished shard as a journal, by rename; then the shard goes. A journal beside a finished shard is
// a leftover, so a kill between the two undoes it. outputs.h5 goes before: it must never speak for rows that are
// pending again, and whole shards can be merged at any time.
void shard_to_journal(const dataset::RunPaths& paths, const dataset::RunManifest& manifest, ShardId shard) {
  dataset::OutputReader reader(paths.shard(shard));
  if (!any_failed(reader)) return;
  if (reader.layout().token_ids) {
    const std::string temporary = files::temporary_name(paths.journal(shard));
    dataset::JournalWriter journal(temporary, manifest.run_id, shard, 0);
    if (reader.layout().prompt_logprobs) keep_scores(reader, manifest.range_of(shard).first, journal);
    for (std::uint64_t first = 0; first < reader.rows();) {
      const std::uint64_t end = reader.block_end(first);
      for (const auto& row : read_completions(reader, first, end - first))
        if (row.status != RowStatus::Failed) journal.append(row);
      first = end;
    }
    journal.close();
    files::publish(temporary, paths.journal(shard));
  }
  files::remove(paths.outputs());
  files::sync_folder(paths.dir);
  files::remove(paths.shard(shard));  // without stored token ids all its rows are made again
  files::sync_folder(paths.shards());
}

void clean_journal(const dataset::RunPaths& paths, const dataset::RunManifest& manifest, ShardId shard) {
  auto contents = dataset::read_journal(paths.journal(shard), manifest.run_id, shard);
  const std::string temporary = files::temporary_name(paths.journal(shard));
  dataset::JournalWriter journal(temporary, manifest.run_id, shard, 0);
  for (const auto& score : contents.scores) journal.append(score);
  for (const auto& row : contents.completions)
    if (row.status != RowStatus::Failed) journal.append(row);
  for (const auto& partial : contents.partials) journal.append(partial);
  journal.close();
  files::publish(temporary, paths.journal(shard));
}

}  // namespace

void reopen_failed(const dataset::RunPaths& paths, const dataset::RunManifest& manifest) {
  const dataset::RunListing listing = dataset::list_run(paths, manifest);
  // All of them before anything is changed: a flipped bit must not get into a file that is sealed anew.
  for (ShardId shard : listing.finished) dataset::refuse_broken(paths.shard(shard), [] {});
  for (ShardId shard : listing.journals) clean_journal(paths, manifest, shard);
  for (ShardId shard : listing.finished) shard_to_journal(paths, manifest, shard);
}

std::vector<dataset::Completion> read_completions(const dataset::OutputReader& reader, std::uint64_t first,
                                                  std::uint64_t count) {
  const dataset::OutputBlock block = reader.read(first, count);
  const dataset::OutputLayout& layout = reader.layout();
  const std::uint64_t k = layout.logprobs.value_or(0);
  std::vector<dataset::Completion> rows(count);
  auto text = block.text.begin(), stop = block.stop_reason.begin();
  std::uint64_t token = 0;
  for (std::size_t i = 0; i < count; ++i) {
    dataset::Completion& row = rows[i];
    row.prompt_index = block.prompt_index[i];
    row.sample_index = block.sample_index[i];
    if (layout.ids == dataset::IdKind::Integer) {
      row.id = block.integer_ids[i];
    } else {
      row.id = block.text_ids[i];
    }
    row.status = static_cast<RowStatus>(block.status[i]);
    row.finish_reason = static_cast<dataset::FinishReason>(block.finish_reason[i]);
    row.num_prompt_tokens = block.num_prompt_tokens[i];
    row.seed = block.seed[i];
    row.cumulative_logprob = block.cumulative_logprob[i];
    if (layout.text) {
      auto end = text + static_cast<std::ptrdiff_t>(block.text_bytes[i]);
      row.text.assign(text, end);
      text = end;
    }
    if (layout.stop_reason) {
      auto end = stop + static_cast<std::ptrdiff_t>(block.stop_bytes[i]);
      row.stop_reason.assign(stop, end);
      stop = end;
    }
    if (!layout.token_ids && !layout.logprobs) continue;
    const std::uint64_t end = token + block.token_counts[i];
    auto slice = [](auto& to, const auto& from, std::uint64_t a, std::uint64_t b) {
      to.assign(from.begin() + static_cast<std::ptrdiff_t>(a), from.begin() + static_cast<std::ptrdiff_t>(b));
    };
    if (layout.token_ids) slice(row.token_ids, block.token_ids, token, end);
    if (layout.logprobs) slice(row.logprobs, block.logprobs, token, end);
    if (k > 0) slice(row.top_ids, block.top_ids, token * k, end * k);
    if (k > 0) slice(row.top_values, block.top_values, token * k, end * k);
    token = end;
  }
  return rows;
}

}  // namespace moemill::mill
