// The amount of work that the KV plan and a rank's scheduler are sized for. Filled by job/estimate.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/facts.hpp"

namespace moemill::mill {

// The unfinished shards, with estimated sizes by which ranks claim them, and the length of the longest sequence.
struct JobEstimate {
  std::vector<schedule::UnclaimedShard> shards;
  std::uint64_t sequences = 0;  // in all shards
  // Tokens of the longest sequence, prompt + max_tokens, at most max_model_len: an upper bound and a likely value.
  std::uint64_t longest_tokens = 0;
  std::uint64_t likely_tokens = 0;
};

}  // namespace moemill::mill
