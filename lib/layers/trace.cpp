#include "layers/trace.hpp"

#include "layers/block.hpp"

namespace moemill::layers {

namespace {

LayerTrace& of(Trace& trace, const BlockTools& tools, LayerId layer) {
  trace.layers.resize(tools.config.layers);
  return trace.layers[static_cast<std::size_t>(layer.value)];
}

// Rows [first, first + rows) of a [rows, width] matrix that grows as micro-batches come.
template <class T>
T* place(std::vector<T>& to, const MicroBatch& batch, std::size_t width) {
  const std::size_t first = batch.plan.first_row * width, count = batch.plan.rows * width;
  if (to.size() < first + count) to.resize(first + count);
  return to.data() + first;
}

void record(std::vector<float>& to, const MicroBatch& batch, const float* from, std::size_t width) {
  float* out = place(to, batch, width);
  for (std::size_t i = 0; i < batch.plan.rows * width; ++i) out[i] = from[i];
}

}  // namespace

void trace_embedding(Trace& trace, const BlockTools& tools, const MicroBatch& batch) {
  record(trace.embedding, batch, batch.hidden, tools.config.hidden);
}

void trace_attention(Trace& trace, const BlockTools& tools, LayerId layer, const MicroBatch& batch) {
  LayerTrace& to = of(trace, tools, layer);
  record(to.attention_out, batch, batch.exact.data(), tools.config.hidden);
  const std::size_t width = tools.cache.width();
  const auto& slots = batch.plan.slots[static_cast<std::size_t>(tools.cache.group(layer))];
  float* out = place(to.cache, batch, width);
  for (std::size_t r = 0; r < batch.plan.rows; ++r) tools.cache.read(layer, slots[r], out + r * width);
}

void trace_logits(Trace& trace, const BlockTools& tools, LayerId layer, const MicroBatch& batch) {
  record(of(trace, tools, layer).router_logits, batch, batch.scores.data(), tools.config.moe.experts);
}

void trace_picks(Trace& trace, const BlockTools& tools, LayerId layer, const MicroBatch& batch) {
  LayerTrace& to = of(trace, tools, layer);
  const std::size_t picks = tools.config.moe.picks;
  record(to.scores, batch, batch.scores.data(), tools.config.moe.experts);
  record(to.pick_weights, batch, batch.weights.data(), picks);
  std::int32_t* out = place(to.picks, batch, picks);
  for (std::size_t i = 0; i < batch.plan.rows * picks; ++i) out[i] = batch.picks[i].value;
}

void trace_hidden(Trace& trace, const BlockTools& tools, LayerId layer, const MicroBatch& batch) {
  record(of(trace, tools, layer).hidden, batch, batch.hidden, tools.config.hidden);
}

}  // namespace moemill::layers
