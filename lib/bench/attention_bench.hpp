// `moemill bench attention`: a layer of attention, latent and grouped, in decode steps and in steps of prompts, against
// its bound: the operations that its definition needs at the processor's peak, or the cached values that its rows see,
// each read once, whichever takes longer.
#pragma once

#include <string>
#include <vector>

#include "bench/attention_layer.hpp"
#include "bench/options.hpp"
#include "bench/peak/peak.hpp"

namespace moemill::bench {

struct AttentionResult {
  model::ModelConfig config;
  AttentionStep step;
  AttentionNeeds needs;
  Timing layer;            // seconds of the whole layer
  double core_seconds;     // median, of scores, exp and weighted sums with all that is done per tile
  double product_seconds;  // median, of products, norms, rotations and writing to the cache
};

struct AttentionReport {
  Peaks peaks;
  double bandwidth;  // bytes per second
  std::vector<AttentionResult> results;
};

AttentionReport measure_attention(const KernelOptions& options);
int run_attention_bench(const std::vector<std::string>& args);

}  // namespace moemill::bench
