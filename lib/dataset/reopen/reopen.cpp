#include "dataset/reopen/reopen.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "dataset/compare.hpp"
#include "dataset/journal/journal.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

// Whether some rows do not stay, or samples or prompts are missing from the shard. Asks for the fate of every row, so
// that a row that forbids the change is found.
bool is_to_reopen(const Piece& piece, ShardRange now, const Verdicts& verdicts) {
  bool work = piece.range.count < now.count;
  std::uint64_t rows = 0, wanted = 0;
  for_rows(piece, [&](const Completion& row) {
    work = verdicts.fate(row) != Fate::Keep || work;
    if (row.sample_index == 0) wanted += verdicts.samples(row.prompt_index);
    ++rows;
  });
  return work || rows < wanted;
}

// Checks that the shard's carried rows equal those of the input: a shard that stays keeps its own, a reopened shard
// gets the input's.
void check_carried(const Piece& piece, const PromptFile& input) {
  std::vector<std::string> there = piece.file.carried_names(), now;
  for (const CarriedColumn& column : input.carried()) now.push_back(column.name);
  std::sort(now.begin(), now.end());
  std::sort(there.begin(), there.end());
  if (there != now)
    user_error(
        "{}: the carried columns are {}, and those of the run are {}: they must be the same; nothing was changed",
        input.path(), now.empty() ? "none" : fmt::format("{}", fmt::join(now, ", ")),
        there.empty() ? "none" : fmt::format("{}", fmt::join(there, ", ")));
  for (const std::string& name : there) {
    const auto difference = differ_in_value(input.carried_dataset(name), piece.range.first, piece.range.count,
                                            piece.file.open_carried(name), piece.range.first - piece.first_prompt);
    if (difference)
      user_error(
          "{}: column '{}' is not what it was for prompts {} to {}: {} of {}; prompts that are there must stay as "
          "they were (write the column as it was, or give the new prompts a run of their own); nothing was changed",
          input.path(), name, piece.range.first, piece.range.first + piece.range.count - 1, *difference,
          piece.file.path());
  }
}

// Whether the layout of the run's files changes: more logprobs, or longer texts and larger numbers in a carried column.
// All files of a run have the same layout.
bool has_old_layout(const Piece& piece, const Verdicts& verdicts) {
  if (piece.file.layout().logprobs != verdicts.layout.logprobs) return true;
  const auto& carried = verdicts.input->carried();
  return std::any_of(carried.begin(), carried.end(), [&](const CarriedColumn& column) {
    return H5Tequal(h5::type_of(verdicts.input->carried_dataset(column.name)),
                    h5::type_of(piece.file.open_carried(column.name))) <= 0;
  });
}

void check_kind_of_ids(const PromptFile& input, IdKind before, IdKind now) {
  if (before == now) return;
  const auto text = [](IdKind kind) { return kind == IdKind::Text ? "texts" : "integers"; };
  user_error("{}: ids are {} now, and the run's are {}: they must stay what they were; nothing was changed",
             input.path(), text(now), text(before));
}

bool is_broken(const std::string& path) {
  return broken_seal(path, [] {}).has_value();
}

}  // namespace

std::vector<ShardId> shards_to_reopen(const RunPaths& paths, const RunManifest& manifest, std::uint64_t prompts_before,
                                      std::uint64_t completions_before, const Verdicts& verdicts) {
  const FinishedFiles finished(paths, manifest, prompts_before, completions_before);
  if (!finished.merged())
    for (ShardId shard : finished.listing().finished) refuse_broken(paths.shard(shard), [] {});
  std::vector<ShardId> shards;
  finished.for_pieces([&](ShardId shard, const Piece& piece) {
    if (verdicts.input) check_kind_of_ids(*verdicts.input, piece.file.layout().ids, verdicts.layout.ids);
    if (verdicts.input) check_carried(piece, *verdicts.input);
    const bool is_old = verdicts.input && has_old_layout(piece, verdicts);
    if (is_to_reopen(piece, manifest.range_of(shard), verdicts) || is_old) shards.push_back(shard);
  });
  if (finished.merged()) return shards;
  for (ShardId shard : finished.listing().journals)  // they are filtered in any case, but a row may forbid the change
    for (const auto& row : read_journal(paths.journal(shard), manifest.run_id, shard).completions) {
      const IdKind before = std::holds_alternative<std::string>(row.id) ? IdKind::Text : IdKind::Integer;
      if (verdicts.input) check_kind_of_ids(*verdicts.input, before, verdicts.layout.ids);
      verdicts.fate(row);
    }
  return shards;
}

void reopen(const RunPaths& paths, RunManifest& manifest, std::uint64_t prompts_before,
            std::uint64_t completions_before, const std::vector<ShardId>& shards,
            std::optional<std::uint32_t> gzip_level, const Verdicts& verdicts) {
  {
    const FinishedFiles finished(paths, manifest, prompts_before, completions_before);
    finished.for_pieces([&](ShardId shard, const Piece& piece) {
      if (std::binary_search(shards.begin(), shards.end(), shard)) {
        to_journal(piece, paths, manifest, shard, verdicts);
      } else if (!finished.has_shard(shard) || (finished.merged() && is_broken(paths.shard(shard)))) {
        to_shard(piece, paths.shard(shard), gzip_level);
      }
    });
    if (!finished.merged())
      for (ShardId shard : finished.listing().journals) filter_journal(paths, manifest, shard, verdicts);
  }
  if (manifest.shards_removed) {
    manifest.shards_removed = false;
    write_manifest(paths, manifest);
  }
  if (files::exists(paths.outputs())) files::rename(paths.outputs(), paths.outputs_before());
  files::sync_folder(paths.dir);
  for (ShardId shard : shards) files::remove(paths.shard(shard));
  files::sync_folder(paths.shards());
}

}  // namespace moemill::dataset
