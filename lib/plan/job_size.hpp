// How much work a job has: what the KV plan and the scheduler of a rank are sized for. Filled by job/estimate.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/facts.hpp"

namespace moemill::mill {

// The shards that nobody has finished, with rough sizes for dealing them out, and the longest sequence that may come.
struct JobEstimate {
  std::vector<schedule::UnclaimedShard> shards;
  std::uint64_t sequences = 0;  // all together
  // Of the longest sequence, prompt + max_tokens, at most max_model_len: what it cannot exceed, and what is likely.
  std::uint64_t longest_tokens = 0;
  std::uint64_t likely_tokens = 0;
};

}  // namespace moemill::mill
