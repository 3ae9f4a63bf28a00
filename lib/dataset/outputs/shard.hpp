// A shard: a fixed range of prompts whose rows are all done, as a file of its own. Written once by the rank that owns
// it, by the rename rule; from then on it is the truth and its journal can go.
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
  std::vector<Completion> completions;              // in any order; every prompt of the range with samples 0 .. its n-1
  std::vector<PromptScore> scores;                  // in any order; at most one a prompt of the range
  std::vector<std::vector<TokenId>> prompt_tokens;  // [prompts of the range] where the layout has them
};

// Sorts the rows, writes a temporary file with the carried columns of the range, closes, opens again and checks,
// renames. A prompt without rows, a gap in its samples or a doubled row is a ContractViolation, before anything is
// written; that the last samples of a prompt are there is the caller's to know.
void write_shard(const std::string& path, ShardRows rows, const PromptFile& prompts, const OutputLayout& layout,
                 const RootAttributes& attributes);

}  // namespace moemill::dataset
