// `moemill bench attention`: measures the attention kernels on contexts of several lengths. Latent attention is
// measured with full tiles of 32 lanes and half tiles of 16, on fp32 blocks in cache and on bf16 pages in memory, which
// are widened as they are read. For grouped attention see bench/grouped_bench.
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
  Peaks peaks;
  double bandwidth;  // bytes per second
  std::vector<AttentionResult> results;
  std::vector<GroupedResult> grouped;
};

AttentionReport measure_attention(const KernelOptions& options);
int run_attention_bench(const std::vector<std::string>& args);

}  // namespace moemill::bench
