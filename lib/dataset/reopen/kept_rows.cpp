#include "dataset/reopen/kept_rows.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "dataset/journal/journal.hpp"

namespace moemill::dataset {
namespace {

void keep_scores(const Piece& piece, JournalWriter& journal) {
  const auto scores = piece.file.read(prompt_logprobs, piece.range.first - piece.first_prompt, piece.range.count);
  auto value = scores.values.begin();
  for (std::size_t i = 0; i < scores.counts.size(); ++i) {
    auto end = value + static_cast<std::ptrdiff_t>(scores.counts[i]);
    if (value != end) journal.append(PromptScore{piece.range.first + i, {value, end}});
    value = end;
  }
}

void keep(Completion row, const Verdicts& verdicts, JournalWriter& journal) {
  const Fate fate = verdicts.fate(row);
  if (fate == Fate::Again) return;
  if (fate == Fate::Continue) {
    const FinishReason reason = verdicts.ends_after_all(row);
    if (reason == FinishReason::None) {
      narrow_logprobs(row);
      journal.append(PartialSample{row.prompt_index, row.sample_index, std::move(row.token_ids),
                                   std::move(row.logprobs), std::move(row.top_ids), std::move(row.top_values)});
      return;
    }
    row.finish_reason = reason;
  }
  journal.append(row);
}

}  // namespace

void to_journal(const Piece& piece, const RunPaths& paths, const RunManifest& manifest, ShardId shard,
                const Verdicts& verdicts) {
  if (!piece.file.layout().token_ids) return;
  const std::string temporary = files::temporary_name(paths.journal(shard));
  JournalWriter journal(temporary, manifest.run_id, shard, 0);
  if (piece.file.layout().prompt_logprobs) keep_scores(piece, journal);
  for (std::uint64_t first = piece.first_row; first < piece.end_row;) {
    const std::uint64_t end = std::min(piece.file.block_end(first), piece.end_row);
    for (Completion& row : piece.file.read(first, end - first)) {
      if (auto error = piece.errors.find({row.prompt_index, row.sample_index}); error != piece.errors.end())
        row.error = error->second;
      keep(std::move(row), verdicts, journal);
    }
    first = end;
  }
  journal.close();
  files::publish(temporary, paths.journal(shard));
}

void filter_journal(const RunPaths& paths, const RunManifest& manifest, ShardId shard, const Verdicts& verdicts) {
  auto contents = read_journal(paths.journal(shard), manifest.run_id, shard);
  const auto by_prompt = [](const auto& a, const auto& b) { return a.prompt_index < b.prompt_index; };
  std::stable_sort(contents.completions.begin(), contents.completions.end(), by_prompt);
  std::stable_sort(contents.scores.begin(), contents.scores.end(), by_prompt);
  std::stable_sort(contents.partials.begin(), contents.partials.end(), by_prompt);
  const std::string temporary = files::temporary_name(paths.journal(shard));
  JournalWriter journal(temporary, manifest.run_id, shard, 0);
  std::set<std::uint64_t> answered;  // prompts whose scores stay in any case, because they would not be made again
  for (const auto& row : contents.completions)
    if (verdicts.fate(row) != Fate::Again) answered.insert(row.prompt_index);
  for (const auto& score : contents.scores)
    if (answered.contains(score.prompt_index) || verdicts.begins_as_before(score.prompt_index)) journal.append(score);
  for (auto& row : contents.completions) keep(std::move(row), verdicts, journal);
  for (const auto& partial : contents.partials)
    if (verdicts.is_beginning(partial)) journal.append(partial);
  journal.close();
  files::publish(temporary, paths.journal(shard));
}

namespace {

RootAttributes attributes_of(const OutputReader& file) {
  RootAttributes attributes;
  for (const RootField& field : root_fields) attributes.*field.member = file.text_attribute(field.name);
  attributes.world_size = file.number_attribute("world_size");
  return attributes;
}

}  // namespace

void to_shard(const Piece& piece, const std::string& path, std::optional<std::uint32_t> gzip_level) {
  OutputLayout layout = piece.file.layout();
  layout.gzip_level = gzip_level;
  OutputSize size;
  size.prompts = piece.range.count;
  size.rows = piece.end_row - piece.first_row;
  size.errors = piece.errors.size();
  OutputWriter out(path, layout, attributes_of(piece.file), size);
  copy_rows(piece.file, piece.first_row, piece.end_row, out);
  ErrorBlock errors;
  for (const auto& [key, error] : piece.errors) errors.add(key.first, key.second, error);
  out.append(errors);
  const std::uint64_t first_prompt = piece.range.first - piece.first_prompt;
  copy_prompts(piece.file, first_prompt, first_prompt + piece.range.count, out);
  for (const std::string& name : piece.file.carried_names()) {
    h5::Handle source = piece.file.open_carried(name);
    out.append_carried(name, source, first_prompt, piece.range.count);
  }
  out.publish();
}

}  // namespace moemill::dataset
