// How layers/block fills a Trace. Everything comes from the backend's memory to the host's.
#pragma once

#include "kernels/rows.hpp"
#include "layers/block.hpp"
#include "layers/trace.hpp"

namespace moemill::layers {

template <class B>
LayerTrace& trace_of(Trace& trace, const BlockTools<B>& tools, LayerId layer) {
  trace.layers.resize(tools.config.layers);
  return trace.layers[static_cast<std::size_t>(layer.value)];
}

// Where a micro-batch's rows go in a [rows, width] matrix that grows as micro-batches come.
template <class T, class B>
T* trace_rows(std::vector<T>& to, const MicroBatch<B>& batch, std::size_t width) {
  const std::size_t first = batch.plan.first_row * width, count = batch.plan.rows * width;
  if (to.size() < first + count) to.resize(first + count);
  return to.data() + first;
}

template <class B>
void trace_record(std::vector<float>& to, const BlockTools<B>& tools, const MicroBatch<B>& batch,
                  Rows<const float, typename B::Space> from) {
  download(tools.stream, from, trace_rows(to, batch, from.width));
}

template <class B>
void trace_embedding(Trace& trace, const BlockTools<B>& tools, const MicroBatch<B>& batch) {
  trace_record(trace.embedding, tools, batch, batch.hidden);
}

template <class B>
void trace_attention(Trace& trace, const BlockTools<B>& tools, LayerId layer, MicroBatch<B>& batch) {
  LayerTrace& to = trace_of(trace, tools, layer);
  trace_record(to.attention_out, tools, batch, batch.exact());
  const std::size_t width = tools.cache.width();
  const auto& slots = batch.plan.slots[static_cast<std::size_t>(tools.cache.group(layer))];
  float* out = trace_rows(to.cache, batch, width);
  for (std::size_t r = 0; r < batch.plan.rows; ++r) tools.cache.read(layer, slots[r], out + r * width);
}

template <class B>
void trace_logits(Trace& trace, const BlockTools<B>& tools, LayerId layer, const MicroBatch<B>& batch) {
  trace_record(trace_of(trace, tools, layer).router_logits, tools, batch, tools.router.scores());
}

template <class B>
void trace_picks(Trace& trace, const BlockTools<B>& tools, LayerId layer, MicroBatch<B>& batch) {
  LayerTrace& to = trace_of(trace, tools, layer);
  trace_record(to.scores, tools, batch, tools.router.scores());
  trace_record(to.pick_weights, tools, batch, batch.weights());
  std::vector<GlobalExpert> picks(batch.plan.rows * batch.picks_per_row);
  download(tools.stream, Rows<const GlobalExpert, typename B::Space>(batch.picks()), picks.data());
  std::int32_t* out = trace_rows(to.picks, batch, batch.picks_per_row);
  for (GlobalExpert pick : picks) *out++ = pick.value;
}

template <class B>
void trace_hidden(Trace& trace, const BlockTools<B>& tools, LayerId layer, const MicroBatch<B>& batch) {
  trace_record(trace_of(trace, tools, layer).hidden, tools, batch, batch.hidden);
}

}  // namespace moemill::layers
