// Reads the rows of a run's finished files: all of outputs.h5, or one shard at a time. Used to reopen files
// (dataset/reopen/reopen.hpp) and to generate rows again (commands/verify.cpp). It never writes to a file.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "dataset/outputs/outputs.hpp"
#include "dataset/run_dir/run_dir.hpp"

namespace moemill::dataset {

// The rows of some prompts in a finished file: a whole shard, or a part of outputs.h5.
struct Piece {
  using Key = std::pair<std::uint64_t, std::uint32_t>;  // prompt index, sample index
  const OutputReader& file;
  ShardRange range;
  std::uint64_t first_prompt;        // the first prompt that the file has rows of; 0 if it has no rows
  std::uint64_t first_row, end_row;  // within the file
  std::map<Key, RowFault> errors;
};
Piece piece_of(const OutputReader& file, ShardRange range);

// Calls body for each row of the piece. The row has its error and the columns with one number per row, but no id and no
// lists.
void for_rows(const Piece& piece, const std::function<void(const Completion&)>& body);

// Whether outputs.h5 has all `completions` rows; it may have fewer after a change that makes the run larger.
bool has_all_rows(const RunPaths& paths, const RunManifest& manifest, std::uint64_t completions);

// The finished files: outputs.h5 if it has all rows, else the shards.
class FinishedFiles {
 public:
  // `prompts_before` and `completions_before` are the numbers of prompts and rows that the run had when the files were
  // written. `paths` and `manifest` must outlive this object.
  FinishedFiles(const RunPaths& paths, const RunManifest& manifest, std::uint64_t prompts_before,
                std::uint64_t completions_before);
  bool merged() const { return outputs_.has_value(); }
  const RunListing& listing() const { return listing_; }
  bool has_shard(ShardId shard) const;
  // Calls body for every finished shard, in the order of the shards.
  void for_pieces(const std::function<void(ShardId, const Piece&)>& body) const;

 private:
  ShardRange range_before(ShardId shard) const;

  const RunPaths& paths_;
  const RunManifest& manifest_;
  std::uint64_t prompts_before_;
  RunListing listing_;
  std::optional<OutputReader> outputs_;
};

}  // namespace moemill::dataset
