#include "dataset/reopen/finished_rows.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "dataset/seal.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t finished_block_rows = 4096;

// The first of `count` entries, in the order of their prompts, whose prompt is `prompt` or a later one.
template <class PromptOf>
std::uint64_t first_from(std::uint64_t prompt, std::uint64_t count, PromptOf&& prompt_of) {
  std::uint64_t low = 0, high = count;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (prompt_of(middle) < prompt) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::uint64_t row_of(const OutputReader& file, std::uint64_t prompt) {
  return first_from(prompt, file.rows(), [&](std::uint64_t row) { return file.read_prompts(row, 1)[0]; });
}

// /errors is in the order of the rows.
std::uint64_t error_of(const OutputReader& file, std::uint64_t prompt) {
  return first_from(prompt, file.errors(), [&](std::uint64_t error) { return file.read_error_prompts(error, 1)[0]; });
}

}  // namespace

Piece piece_of(const OutputReader& file, ShardRange range) {
  Piece piece{file, range, 0, row_of(file, range.first), row_of(file, range.first + range.count), {}};
  if (file.rows() > 0) piece.first_prompt = file.read_prompts(0, 1)[0];
  const std::uint64_t first = error_of(file, range.first), end = error_of(file, range.first + range.count);
  ErrorBlock errors = file.read_errors(first, end - first);
  for (std::size_t i = 0; i < errors.code.size(); ++i)
    piece.errors[{errors.prompt_index[i], errors.sample_index[i]}] = {
        parse_error_code(errors.code[i]).value_or(ErrorCode::Internal), std::move(errors.message[i])};
  return piece;
}

void for_rows(const Piece& piece, const std::function<void(const Completion&)>& body) {
  for (std::uint64_t first = piece.first_row; first < piece.end_row; first += finished_block_rows)
    for (Completion& row : piece.file.read_numbers(first, std::min(finished_block_rows, piece.end_row - first))) {
      if (auto error = piece.errors.find({row.prompt_index, row.sample_index}); error != piece.errors.end())
        row.error = error->second;
      body(row);
    }
}

bool has_all_rows(const RunPaths& paths, const RunManifest& manifest, std::uint64_t completions) {
  if (!files::exists(paths.outputs())) return false;
  const OutputReader outputs(paths.outputs());
  if (const std::string id = outputs.text_attribute("run_id"); id != manifest.run_id)
    user_error(
        "{}: is of another run (run_id {}, this directory holds {}): move it away and run the same command again",
        paths.outputs(), id, manifest.run_id);
  return outputs.rows() == completions;
}

FinishedFiles::FinishedFiles(const RunPaths& paths, const RunManifest& manifest, std::uint64_t prompts_before,
                             std::uint64_t completions_before)
    : paths_(paths), manifest_(manifest), prompts_before_(prompts_before), listing_(list_run(paths, manifest)) {
  if (!has_all_rows(paths, manifest, completions_before)) return;
  refuse_broken(paths.outputs(), [] {});
  outputs_.emplace(paths.outputs());
}

bool FinishedFiles::has_shard(ShardId shard) const {
  return std::binary_search(listing_.finished.begin(), listing_.finished.end(), shard);
}

ShardRange FinishedFiles::range_before(ShardId shard) const {
  ShardRange range = manifest_.range_of(shard);
  range.count = range.first < prompts_before_ ? std::min(range.count, prompts_before_ - range.first) : 0;
  return range;
}

void FinishedFiles::for_pieces(const std::function<void(ShardId, const Piece&)>& body) const {
  for (std::uint32_t s = 0; s < manifest_.shard_count(); ++s) {
    const ShardId shard{static_cast<std::int32_t>(s)};
    const ShardRange range = range_before(shard);
    if (range.count == 0) return;
    if (outputs_) {
      body(shard, piece_of(*outputs_, range));
    } else if (has_shard(shard)) {
      const OutputReader file(paths_.shard(shard));
      body(shard, piece_of(file, range));
    }
  }
}

}  // namespace moemill::dataset
