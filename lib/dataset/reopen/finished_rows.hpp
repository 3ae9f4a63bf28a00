// Reads the rows of a run's finished files: all of outputs.h5, or one shard at a time. Used to reopen files
// (dataset/reopen/reopen.hpp) and to generate rows again (commands/verify.cpp). Changes nothing.
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
  using Key = std::pair<std::uint64_t, std::uint32_t>;  // prompt, sample
  const OutputReader& file;
  ShardRange range;
  std::uint64_t first_prompt;  // of the file
  std::uint64_t first_row, end_row;
  std::map<Key, RowFault> errors;
};
Piece piece_of(const OutputReader& file, ShardRange range);

// Calls body for each row of the piece, with its numbers and its error; no id and no values.
void for_rows(const Piece& piece, const std::function<void(const Completion&)>& body);

// Whether outputs.h5 has all `completions` rows. After a change that makes the run larger it may have fewer.
bool has_all_rows(const RunPaths& paths, const RunManifest& manifest, std::uint64_t completions);

// The finished files: outputs.h5 if it has all rows, else the shards.
class FinishedFiles {
 public:
  // `prompts_before` and `completions_before` are the run's numbers when the files were written. Paths and manifest
  // must outlive this object.
  FinishedFiles(const RunPaths& paths, const RunManifest& manifest, std::uint64_t prompts_before,
                std::uint64_t completions_before);
  bool merged() const { return outputs_.has_value(); }
  const RunListing& listing() const { return listing_; }
  bool has_shard(ShardId shard) const;
  // Calls body for every shard that was finished, in order.
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
