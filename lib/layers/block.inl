// The bodies of layers/block.hpp, for the one file per backend that instantiates them.
//
// Partial order of a block with micro-batches 0 and 1 (with one, drop the second column):
//
//   combine(0) of the block before     outputs of 1 return
//   attention(0), route(0), dispatch(0)
//   combine(1) of the block before     rows of 0 leave
//   attention(1), route(1), dispatch(1)
//   shared(0), experts(0), send back   rows of 1 leave
//   experts(1), send back              outputs of 0 return
//   shared(1)                          outputs of 0 and 1 return
//
// Rows leave and return between nodes; within a node the ranks share the experts' work of all their rows. Within a
// micro-batch every line needs the one before, but shared(1) does not need experts(1); attention(1) needs attention(0)
// where a prompt was cut between them; nothing else. Each row's sums are the same in any order of the lines. Outputs
// are more bytes than rows, so what can be computed at any time is computed while they return.
#pragma once

#include <vector>

#include "kernels/rows.hpp"
#include "layers/block.hpp"
#include "layers/pick_record.hpp"
#include "layers/trace.inl"

namespace moemill::layers {

template <class B>
void MicroBatch<B>::reserve(const model::ModelConfig& config, std::size_t rows) {
  picks_per_row = config.moe.picks;
  exact_values.reserve(rows * row_stride(config.hidden));
  if (config.moe.shared_gate) gate_values.reserve(rows);
  pick_values.reserve(rows * picks_per_row);
  weight_values.reserve(rows * picks_per_row);
}

template <class B>
std::uint64_t MicroBatch<B>::bytes() const {
  return exact_values.capacity_bytes() + gate_values.capacity_bytes() + pick_values.capacity_bytes() +
         weight_values.capacity_bytes();
}

// Leaves its output in exact(): the norm that follows adds it to the residual stream.
template <class B>
void attention(BlockTools<B>& t, const LayerWeights<B>& w, LayerId layer, MicroBatch<B>& b) {
  PassScope scope(t.stream.passes(), Pass::Norms);
  // Latent attention takes rounded rows, grouped attention exact ones.
  if (t.config.attention == model::AttentionKind::Latent)
    rms_norm(t.stream, b.hidden, w.attention_norm, t.config.norm_eps, b.normed(), {});
  else
    rms_norm(t.stream, b.hidden, w.attention_norm, t.config.norm_eps, {}, b.exact());
  scope.change(Pass::Projections);
  t.attention.run(w, layer, b.attention, b.normed(), b.exact(), b.exact());
  scope.change(Pass::Norms);
  if (t.trace) trace_attention(*t.trace, t, layer, b);
}

template <class B>
void dense_mlp(BlockTools<B>& t, const LayerWeights<B>& w, LayerId layer, MicroBatch<B>& b) {
  const PassScope scope(t.stream.passes(), Pass::Norms);
  add_rms_norm(t.stream, b.hidden, b.exact(), w.mlp_norm, t.config.norm_eps, b.normed(), {});
  t.experts.add_mlp(w.dense, b.normed(), b.hidden);
  if (t.trace) trace_hidden(*t.trace, t, layer, b);
}

template <class B>
void record_picks(PickRecord& record, BlockTools<B>& t, LayerId layer, MicroBatch<B>& b) {
  std::vector<GlobalExpert> picks(b.plan.rows * b.picks_per_row);
  download(t.stream, Rows<const GlobalExpert, typename B::Space>(b.picks()), picks.data());
  record.add(layer, picks);
}

template <class B>
void route(BlockTools<B>& t, const LayerWeights<B>& w, LayerId layer, MicroBatch<B>& b) {
  PassScope scope(t.stream.passes(), Pass::Norms);
  add_rms_norm(t.stream, b.hidden, b.exact(), w.mlp_norm, t.config.norm_eps, b.normed(), b.exact());
  scope.change(Pass::Router);
  t.router.run_logits(w.moe, b.exact());
  if (w.moe.shared_gate) sigmoid_dots(t.stream, b.exact(), w.moe.shared_gate, b.gates());
  if (t.trace) trace_logits(*t.trace, t, layer, b);
  t.router.route(w.moe, layer, b.picks(), b.weights());
  if (t.trace) trace_picks(*t.trace, t, layer, b);
  if (t.picks) record_picks(*t.picks, t, layer, b);
}

template <class B>
void dispatch(BlockTools<B>& t, LayerId layer, MicroBatch<B>& b) {
  t.exchange.begin_dispatch(b.channel, layer, b.picks(), b.weights());
}

template <class B>
void shared_expert(BlockTools<B>& t, const LayerWeights<B>& w, MicroBatch<B>& b) {
  if (w.moe.shared_gate)
    t.experts.add_scaled_mlp(w.moe.shared, b.normed(), b.gates(), b.hidden);
  else
    t.experts.add_mlp(w.moe.shared, b.normed(), b.hidden);
}

template <class B>
void experts(BlockTools<B>& t, const LayerWeights<B>& w, MicroBatch<B>& b) {
  const auto received = t.exchange.finish_dispatch(b.channel);
  t.experts.run(w.moe.experts, received);
  t.exchange.begin_combine(b.channel);
  b.travelling = true;
}

template <class B>
void combine(BlockTools<B>& t, LayerId layer, MicroBatch<B>& b) {
  if (!b.travelling) return;
  t.exchange.finish_combine(b.channel, b.hidden);
  b.travelling = false;
  if (t.trace) trace_hidden(*t.trace, t, layer, b);
}

template <class B>
void run_block(BlockTools<B>& tools, const LayerWeights<B>& weights, LayerId layer, std::span<MicroBatch<B>> batches) {
  const bool moe = tools.config.layer_is_moe[static_cast<std::size_t>(layer.value)];
  for (MicroBatch<B>& b : batches) {
    combine(tools, {layer.value - 1}, b);
    attention(tools, weights, layer, b);
    if (moe) {
      route(tools, weights, layer, b);
      dispatch(tools, layer, b);
    } else {
      dense_mlp(tools, weights, layer, b);
    }
  }
  if (!moe) return;
  for (MicroBatch<B>& b : batches) {
    const bool is_second = &b != batches.data();
    if (!is_second) shared_expert(tools, weights, b);
    experts(tools, weights, b);
    if (is_second) shared_expert(tools, weights, b);
  }
}

template <class B>
void finish_block(BlockTools<B>& tools, LayerId last_layer, std::span<MicroBatch<B>> batches) {
  for (MicroBatch<B>& b : batches) combine(tools, last_layer, b);
}

}  // namespace moemill::layers
