// Keeps finished rows when a run is changed: as journals, from which their shards are written again, or as shards. Used
// by reopen, under the run's lock.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "dataset/reopen/finished_rows.hpp"

namespace moemill::dataset {

enum class Fate {
  Keep,
  Continue,  // its tokens are the beginning of a longer answer
  Again
};

// Decides what happens to finished rows. The functions are called shard by shard, each in the order of the prompts.
struct Verdicts {
  // Depends on the row's numbers and error; the row may come without id and values.
  std::function<Fate(const Completion&)> fate;
  std::function<std::uint32_t(std::uint64_t prompt)> samples;  // how many rows a prompt is to have
  // The reason why a row that would continue ends where it is after all, by a rule that is checked after its length;
  // None if it continues.
  std::function<FinishReason(const Completion&)> ends_after_all;
  // Whether a prompt's scores in a journal are those of the tokens that the model would read now.
  std::function<bool(std::uint64_t prompt)> begins_as_before;
  // Whether a partial answer in a journal is the beginning of the answer that is wanted now.
  std::function<bool(const PartialSample&)> is_beginning;
  // An input that may have changed, or null. Its carried columns must have the same values for the finished prompts.
  const PromptFile* input = nullptr;
  // The layout of the run's files from now on; used together with `input`.
  OutputLayout layout = {};
};

// Writes the rows of a finished shard that stay as its journal, which is renamed into place. Without stored token ids
// there is nothing to keep: all rows of the shard are made again.
void to_journal(const Piece& piece, const RunPaths& paths, const RunManifest& manifest, ShardId shard,
                const Verdicts& verdicts);
// The same for a shard that is not finished.
void filter_journal(const RunPaths& paths, const RunManifest& manifest, ShardId shard, const Verdicts& verdicts);
// Writes a part of outputs.h5 as the shard that it was made of.
void to_shard(const Piece& piece, const std::string& path, std::optional<std::uint32_t> gzip_level);

}  // namespace moemill::dataset
