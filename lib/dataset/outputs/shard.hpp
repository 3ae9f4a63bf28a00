// A shard is a file with all rows of a fixed range of prompts. The rank that owns it writes it once, when these rows
// are done: under a temporary name, which is then changed to the final one. Afterwards the shard's journal is not
// needed.
#pragma once

#include <string>
#include <vector>

#include "dataset/outputs/outputs.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/rows.hpp"

namespace moemill::dataset {

// Prompts first .. first+count-1.
struct ShardRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

struct ShardRows {
  ShardRange range;
  std::vector<Completion> completions;              // in any order; samples 0 .. n-1 of every prompt of the range
  std::vector<PromptScore> scores;                  // in any order; at most one per prompt of the range
  std::vector<std::vector<TokenId>> prompt_tokens;  // [prompts of the range] where the layout has them
};

// Sorts the rows, writes them and the carried columns of the range to a temporary file, closes it, opens it again to
// check it, and renames it. A prompt without rows, a gap in its samples or a duplicate row is a ContractViolation,
// before anything is written. Whether a prompt lacks its last samples is not checked here: the caller must ensure that
// it does not.
void write_shard(const std::string& path, ShardRows rows, const PromptFile& prompts, const OutputLayout& layout,
                 const RootAttributes& attributes);

}  // namespace moemill::dataset
