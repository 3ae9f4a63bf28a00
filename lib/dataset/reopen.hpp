// Takes a run's finished files apart, so that rows can be made again, go on or be joined by more: for --retry-failed
// and
// --extend. Called by rank 0 under the run's lock. What stays keeps its bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "dataset/outputs.hpp"
#include "dataset/run_dir.hpp"

namespace moemill::dataset {

// A row that has ended, without its values.
struct FinishedRow {
  std::uint64_t prompt_index = 0;
  std::uint32_t sample_index = 0;
  RowStatus status = RowStatus::Ok;
  FinishReason finish_reason = FinishReason::None;
  std::uint32_t num_prompt_tokens = 0;
  std::uint32_t num_completion_tokens = 0;
  std::optional<ErrorCode> error;  // of a failed row
};
FinishedRow facts_of(const Completion& row);

enum class Fate {
  Keep,
  GoOn,  // its tokens are the beginning of a longer answer
  Again
};

// What is to become of the rows that are there. Both are asked in the order of the prompts, shard by shard.
struct Verdicts {
  std::function<Fate(const FinishedRow&)> fate;
  std::function<std::uint32_t(std::uint64_t prompt)> samples;  // how many rows a prompt is to have
  // A row that goes on may have to end where it is, by a rule that comes after its length: then this says why.
  std::function<FinishReason(const Completion&)> ends_after_all;
  // Where the input may be another: its carried columns must say the same of the prompts that are there. Or null.
  const PromptFile* input = nullptr;
  // With `input`: what the run's files store from now on.
  OutputLayout layout = {};
};

// Whether outputs.h5 has all rows that the run had: it may have been made larger since.
bool speaks_for(const RunPaths& paths, const RunManifest& manifest, std::uint64_t completions);

// The shards with rows that do not stay or that are missing, ascending. Changes nothing. `prompts_before` and
// `completions_before`: of the run when its finished files were written. SystemError when a byte of a file is not as it
// was sealed, UserError when a carried column or the kind of ids is another one. A shard with room for fewer logprobs
// than the run stores now is among them: all files of a run have the same layout.
std::vector<ShardId> shards_to_reopen(const RunPaths& paths, const RunManifest& manifest, std::uint64_t prompts_before,
                                      std::uint64_t completions_before, const Verdicts& verdicts);

// The rows of these shards that stay become journals; rows of outputs.h5 whose shards are gone become shards again;
// then outputs.h5 goes, which must never speak for rows that are pending, and the shards that were reopened. The
// manifest has said `reopening` before: after a kill at any point the same two calls bring it to its end.
void reopen(const RunPaths& paths, RunManifest& manifest, std::uint64_t prompts_before,
            std::uint64_t completions_before, const std::vector<ShardId>& shards,
            std::optional<std::uint32_t> gzip_level, const Verdicts& verdicts);

// Rows first .. first+count-1 as completions (without errors' codes and messages). The file must store token ids.
std::vector<Completion> read_completions(const OutputReader& reader, std::uint64_t first, std::uint64_t count);

}  // namespace moemill::dataset
