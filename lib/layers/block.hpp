// One transformer block over a step's micro-batches: norm, attention, norm, dense MLP or routed experts; the residual
// stream is fp32 and stays where it is. Called by layers/forward once per layer. A template over the backend B, a type
// that names what its layers are made of (layers/cpu/cpu.hpp is one); block.inl has the page itself.
#pragma once

#include <cstdint>
#include <span>

#include "layers/attention_plan.hpp"
#include "layers/forward_settings.hpp"
#include "layers/row_stride.hpp"
#include "layers/trace.hpp"
#include "model/config.hpp"
#include "weights/weights.hpp"

namespace moemill::layers {

// Rows of the step that go through the layers together, with the memory that they need while they travel.
template <class B>
struct MicroBatch {
  using Space = typename B::Space;
  template <class T>
  using Buffer = typename B::template Buffer<T>;

  int channel = 0;  // of the exchange
  AttentionPlan plan;
  typename B::Attention::Work attention;
  Rows<float, Space> hidden;        // [rows, hidden] its rows of the residual stream
  Rows<bf16, Space> normed_places;  // [most rows, hidden] where the exchange lets ranks of the node read them
  Buffer<float> exact_values;  // [rows, hidden] unrounded: grouped attention's input, any attention's output, router's
  Buffer<float> gate_values;   // [rows] what the shared expert's output is multiplied by, where it has a gate
  Buffer<GlobalExpert> pick_values;  // [rows, picks]
  Buffer<float> weight_values;       // [rows, picks]
  std::size_t picks_per_row = 0;
  bool travelling = false;  // begin_combine was called, finish_combine not yet

  Rows<bf16, Space> normed() { return normed_places.range(0, plan.rows); }
  Rows<float, Space> exact() { return exact_values.rows(plan.rows, hidden.width, row_stride(hidden.width)); }
  Rows<GlobalExpert, Space> picks() { return pick_values.rows(plan.rows, picks_per_row); }
  Rows<float, Space> weights() { return weight_values.rows(plan.rows, picks_per_row); }

  Vector<float, Space> gates() { return {gate_values.data(), plan.rows}; }

  void reserve(const model::ModelConfig& config, std::size_t rows);
  std::uint64_t bytes() const;
};

// What a block works with.
template <class B>
struct BlockTools {
  typename B::Stream& stream;
  const model::ModelConfig& config;
  typename B::Attention& attention;
  typename B::Router& router;
  typename B::Experts& experts;
  typename B::Exchange& exchange;
  ForwardTotals& totals;
  Trace* trace;                      // null except in tests
  PickRecord* picks;                 // null in steps that are not recorded
  const typename B::KvCache& cache;  // for the trace
};

template <class B>
using LayerWeights = model::LayerWeightsOf<typename B::Matrix>;

// Outputs may still be on their way back afterwards: the next block, or finish_block after the last one, adds them.
template <class B>
void run_block(BlockTools<B>& tools, const LayerWeights<B>& weights, LayerId layer, std::span<MicroBatch<B>> batches);
template <class B>
void finish_block(BlockTools<B>& tools, LayerId last_layer, std::span<MicroBatch<B>> batches);

}  // namespace moemill::layers
