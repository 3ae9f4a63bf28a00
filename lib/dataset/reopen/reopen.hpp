// Takes a run's finished files apart, so that rows can be made again, go on or be joined by more: for --retry-failed
// and --extend. Called by rank 0 under the run's lock. What stays keeps its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dataset/reopen/kept_rows.hpp"

namespace moemill::dataset {

// The shards with rows that do not stay or that are missing, ascending. Changes nothing. `prompts_before` and
// `completions_before`: of the run when its finished files were written. SystemError when a byte of a file is not as it
// was sealed, UserError when a carried column or the kind of ids is another one. A shard with room for fewer logprobs
// than the run stores now, or with other types of carried columns, is among them: all files of a run have the same
// layout.
std::vector<ShardId> shards_to_reopen(const RunPaths& paths, const RunManifest& manifest, std::uint64_t prompts_before,
                                      std::uint64_t completions_before, const Verdicts& verdicts);

// The rows of these shards that stay become journals; rows of outputs.h5 whose shards are gone become shards again;
// then outputs.h5, which must never speak for rows that are pending, becomes outputs-before.h5, and the shards that
// were reopened go. The manifest has said `reopening` before: after a kill at any point the same two calls bring it to
// its end.
void reopen(const RunPaths& paths, RunManifest& manifest, std::uint64_t prompts_before,
            std::uint64_t completions_before, const std::vector<ShardId>& shards,
            std::optional<std::uint32_t> gzip_level, const Verdicts& verdicts);

}  // namespace moemill::dataset
