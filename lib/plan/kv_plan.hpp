// How many KV pages a rank gets: of the layers that see everything, and of those with a window. Used by the engine, and
// by validate to tell the same numbers before.
#pragma once

#include <cstdint>

#include "base/run_config.hpp"
#include "layers/forward.hpp"
#include "model/config.hpp"

namespace moemill::mill {

// What a job would like to have in a rank's cache.
struct KvNeed {
  std::uint64_t sequences = 0;       // at a time, of this rank
  std::uint64_t likely_tokens = 0;   // of a long sequence
  std::uint64_t longest_tokens = 0;  // that may come
};

struct KvPages {
  std::uint32_t full = 0;    // 0 where no layer sees everything
  std::uint32_t window = 0;  // 0 where none has a window

  std::uint64_t bytes(const model::ModelConfig& config) const;
  // That layers without a window can hold; where there are none, the others.
  std::uint64_t tokens() const { return std::uint64_t{full > 0 ? full : window} * schedule::page_tokens; }
};

// What a rank may use for KV pages: `free_bytes` of a machine, shared by its ranks, less a margin of a fifth.
std::uint64_t cache_budget(std::uint64_t free_bytes, std::uint64_t ranks);

// Explicit settings are taken as they are; `auto` takes what the job can use, at most `spare_bytes`. A windowed layer
// never gets more than the sequences' windows and a step's rows can touch. UserError when even the longest sequence
// does not fit.
KvPages kv_pages(const model::ModelConfig& config, const ParallelSettings& settings, const KvNeed& need,
                 std::uint64_t spare_bytes);
// One sequence of that many tokens, alone.
KvPages least_kv_pages(const model::ModelConfig& config, std::uint64_t tokens);

}  // namespace moemill::mill
