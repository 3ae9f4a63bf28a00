// What a test may look at inside a forward pass: the inner states of the last run(), row by row of the step. Only
// tests set it; without it the pass pays a few comparisons per layer. Filled by layers/block and layers/forward
// through trace.inl.
#pragma once

#include <cstdint>
#include <vector>

namespace moemill::layers {

struct LayerTrace {
  std::vector<float> attention_out;  // [rows, hidden] before it joins the residual stream
  std::vector<float> hidden;         // [rows, hidden] the residual stream after the layer
  std::vector<float> cache;          // [rows, kv_width] as cached: latent and rotated key, or all keys, then all values
  std::vector<float> router_logits;  // [rows, experts], this and what follows in MoE layers only
  std::vector<float> scores;         // [rows, experts]
  std::vector<std::int32_t> picks;   // [rows, picks]
  std::vector<float> pick_weights;   // [rows, picks]
};

struct Trace {
  std::vector<float> embedding;    // [rows, hidden]
  std::vector<LayerTrace> layers;  // [layers]
  std::vector<float> logits;       // [wanted rows, vocabulary]
};

}  // namespace moemill::layers
