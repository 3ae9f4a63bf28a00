// Reopens a run's finished files, so that rows can be generated again, continued or added, for --retry-failed and
// --extend. Rank 0 calls it under the run's lock. Rows that stay keep their bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dataset/reopen/kept_rows.hpp"

namespace moemill::dataset {

// The shards with rows that do not stay or that are missing, ascending. Changes nothing. `prompts_before` and
// `completions_before` are the run's numbers when its finished files were written. SystemError when a byte of a file is
// not as it was sealed, UserError when a carried column or the kind of ids differs. All files of a run have the same
// layout, so a shard with fewer logprobs than the run stores now, or with different types of carried columns, is among
// them.
std::vector<ShardId> shards_to_reopen(const RunPaths& paths, const RunManifest& manifest, std::uint64_t prompts_before,
                                      std::uint64_t completions_before, const Verdicts& verdicts);

// The rows of these shards that stay become journals; rows of outputs.h5 whose shards were removed become shards again.
// Then outputs.h5, which must never exist while rows are pending, is renamed to outputs-before.h5, and the reopened
// shards are removed. The manifest must say `reopening` before: after a kill at any point the same two calls complete
// the change.
void reopen(const RunPaths& paths, RunManifest& manifest, std::uint64_t prompts_before,
            std::uint64_t completions_before, const std::vector<ShardId>& shards,
            std::optional<std::uint32_t> gzip_level, const Verdicts& verdicts);

}  // namespace moemill::dataset
