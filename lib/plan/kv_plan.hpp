// The number of KV pages that a rank gets, for layers with full attention and for layers with a window. Used by the
// engine, and by validate, which predicts the same numbers.
#pragma once

#include <cstdint>

#include "base/run_config.hpp"
#include "layers/cache_pages.hpp"
#include "model/config.hpp"

namespace moemill::mill {

// The sequences that a rank's cache should hold.
struct KvNeed {
  std::uint64_t sequences = 0;       // at a time, on this rank
  std::uint64_t likely_tokens = 0;   // of a typical long sequence
  std::uint64_t longest_tokens = 0;  // of the longest possible sequence
};

struct KvPages {
  std::uint32_t full = 0;    // 0 if no layer has full attention
  std::uint32_t window = 0;  // 0 if no layer has a window

  std::uint64_t bytes(const model::ModelConfig& config) const;
  // Tokens that full-attention layers can hold; if the model has none, windowed layers.
  std::uint64_t tokens() const { return std::uint64_t{full > 0 ? full : window} * schedule::page_tokens; }
};

// The memory that a rank may use for KV pages: its share of the machine's `free_bytes`, less a margin of a fifth.
std::uint64_t cache_budget(std::uint64_t free_bytes, std::uint64_t ranks);

// An explicit parallel.kv_cache_tokens is used as it is; `auto` gives what the job can use, at most `spare_bytes`. A
// windowed layer never gets more than the sequences' windows and a step's rows can touch. UserError if even the longest
// sequence does not fit.
KvPages kv_pages(const model::ModelConfig& config, const ParallelSettings& settings, const KvNeed& need,
                 std::uint64_t spare_bytes);
// The pages for a single sequence of `tokens` tokens.
KvPages least_kv_pages(const model::ModelConfig& config, std::uint64_t tokens);

}  // namespace moemill::mill
