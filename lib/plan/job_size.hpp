// The amount of work that the KV plan and a rank's scheduler are sized for. Filled by job/estimate.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/prefix_plan.hpp"

namespace moemill::mill {

// The work that is left, in the lots that are dealt, and the length of the longest sequence.
struct JobEstimate {
  std::vector<schedule::Lot> lots;  // in the order of the prompts; those that begin alike where the first of them is
  schedule::PrefixPlan prefixes;
  std::uint64_t sequences = 0;  // in all lots
  // Tokens of the longest sequence, prompt + max_tokens, at most max_model_len: an upper bound and a likely value.
  std::uint64_t longest_tokens = 0;
  std::uint64_t likely_tokens = 0;
};

}  // namespace moemill::mill
