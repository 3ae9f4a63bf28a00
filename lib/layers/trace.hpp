// What a test may look at inside a forward pass: the inner states of the last run(), row by row of the step. Nobody
// else sets it; without it the pass pays a few comparisons a layer. Filled by layers/block.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.hpp"

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
};

struct BlockTools;
struct MicroBatch;

void trace_embedding(Trace& trace, const BlockTools& tools, const MicroBatch& batch);
void trace_attention(Trace& trace, const BlockTools& tools, LayerId layer, const MicroBatch& batch);
void trace_logits(Trace& trace, const BlockTools& tools, LayerId layer, const MicroBatch& batch);
void trace_picks(Trace& trace, const BlockTools& tools, LayerId layer, const MicroBatch& batch);
void trace_hidden(Trace& trace, const BlockTools& tools, LayerId layer, const MicroBatch& batch);

}  // namespace moemill::layers
