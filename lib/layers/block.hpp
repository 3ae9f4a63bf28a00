// One transformer block over a step's micro-batches: norm, attention, norm, dense MLP or routed experts; the residual
// stream is fp32 and stays where it is. Called by layers/forward once a layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.hpp"
#include "kernels/stream.hpp"
#include "layers/attention_plan.hpp"
#include "layers/exchange.hpp"
#include "layers/forward.hpp"
#include "layers/gqa.hpp"
#include "layers/mla.hpp"
#include "layers/mlp.hpp"
#include "layers/trace.hpp"
#include "model/config.hpp"
#include "weights/weights.hpp"

namespace moemill::layers {

// A part of the step's rows that goes through the layers together, with the memory that must live while they travel.
struct MicroBatch {
  int channel = 0;  // of the exchange
  AttentionPlan plan;
  float* hidden = nullptr;      // [rows, hidden] its rows of the residual stream
  AlignedBuffer<bf16> normed;   // [rows, hidden]
  AlignedBuffer<float> exact;   // [rows, hidden] unrounded: grouped attention's input, any attention's output, router's
  AlignedBuffer<float> scores;  // [rows, experts]
  AlignedBuffer<float> router_part;  // [rows, experts] of a router in several parts
  AlignedBuffer<float> shared_gate;  // [rows] what the shared expert's output is multiplied by, where it has a gate
  std::vector<GlobalExpert> picks;   // [rows, picks]
  std::vector<float> weights;        // [rows, picks]
  bool travelling = false;           // combine was sent and not yet received

  void reserve(const model::ModelConfig& config, std::size_t rows);
  std::uint64_t bytes() const;
};

// What a block works with.
struct BlockTools {
  cpu::Stream& stream;
  const model::ModelConfig& config;
  Mla* mla;  // as the model's AttentionKind says, the one or
  Gqa* gqa;  // the other; the one that is not is null
  Exchange& exchange;
  MlpScratch& mlp;
  ForwardTotals& totals;
  Trace* trace;          // null but in tests
  const KvCache& cache;  // for the trace
};

// pick_counts: [experts], the layer's; empty where it is dense. Rows may still be travelling home afterwards: the next
// block, or finish_block after the last one, takes them in.
void run_block(BlockTools& tools, const model::LayerWeights& weights, LayerId layer, std::span<MicroBatch> batches,
               std::span<std::uint64_t> pick_counts);
void finish_block(BlockTools& tools, LayerId last_layer, std::span<MicroBatch> batches);

}  // namespace moemill::layers
