// What stays of rows that are there when a run is changed: as journals, from which their shards are made again, or as
// shards. Used by reopen, under the run's lock.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "dataset/reopen/finished_rows.hpp"

namespace moemill::dataset {

enum class Fate {
  Keep,
  GoOn,  // its tokens are the beginning of a longer answer
  Again
};

// What is to become of the rows that are there, asked shard by shard; each question in the order of the prompts.
struct Verdicts {
  std::function<Fate(const FinishedRow&)> fate;
  std::function<std::uint32_t(std::uint64_t prompt)> samples;  // how many rows a prompt is to have
  // A row that goes on may have to end where it is, by a rule that comes after its length: then this says why.
  std::function<FinishReason(const Completion&)> ends_after_all;
  // A journal also has scores and answers that were begun: whether a prompt's scores are those of the tokens that the
  // model would read now, and whether what was begun is the beginning of the answer that is wanted now.
  std::function<bool(std::uint64_t prompt)> begins_as_before;
  std::function<bool(const PartialSample&)> goes_on;
  // Where the input may be another: its carried columns must say the same of the prompts that are there. Or null.
  const PromptFile* input = nullptr;
  // With `input`: what the run's files store from now on.
  OutputLayout layout = {};
};

// The rows of a finished shard that stay, as its journal, by rename. Without stored token ids there is nothing to keep:
// all rows of the shard are made again.
void to_journal(const Piece& piece, const RunPaths& paths, const RunManifest& manifest, ShardId shard,
                const Verdicts& verdicts);
// The same of a shard that is not finished.
void filter_journal(const RunPaths& paths, const RunManifest& manifest, ShardId shard, const Verdicts& verdicts);
// A part of outputs.h5 as the shard that it was made of.
void to_shard(const Piece& piece, const std::string& path, std::optional<std::uint32_t> gzip_level);

}  // namespace moemill::dataset
