// A shard: a file of its own for a fixed range of prompts whose rows are all done. The rank that owns it writes it
// once, under a temporary name that is then renamed; from then on its journal is not needed.
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
  std::vector<PromptScore> scores;                  // in any order; at most one per prompt of the range
  std::vector<std::vector<TokenId>> prompt_tokens;  // [prompts of the range] where the layout has them
};

// Sorts the rows, writes them and the carried columns of the range to a temporary file, closes it, opens and checks it
// again, and renames it. A prompt without rows, a gap in its samples or a doubled row is a ContractViolation, before
// anything is written; the caller must know that the last samples of each prompt are there.
void write_shard(const std::string& path, ShardRows rows, const PromptFile& prompts, const OutputLayout& layout,
                 const RootAttributes& attributes);

}  // namespace moemill::dataset
