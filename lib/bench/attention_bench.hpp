// `moemill bench attention`: the attention kernels over a context of some tokens. Latent attention's for full (32) and
// half (16) tiles of lanes, from fp32 blocks at hand and from bf16 pages cold in memory that are widened on the way;
// grouped attention's see bench/grouped_bench.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/grouped_bench.hpp"
#include "bench/options.hpp"
#include "bench/peak/peak.hpp"

namespace moemill::bench {

struct AttentionResult {
  std::uint32_t key_width, value_width;
  std::size_t lanes, tokens;
  Timing block, pages;  // seconds for the whole context
};

struct AttentionReport {
  double peak;       // operations a second
  double bandwidth;  // bytes a second
  std::vector<AttentionResult> results;
  std::vector<GroupedResult> grouped;
};

AttentionReport measure_attention(const KernelOptions& options);
int run_attention_bench(const std::vector<std::string>& args);

}  // namespace moemill::bench
