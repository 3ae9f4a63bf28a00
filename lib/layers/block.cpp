// Partial order of a block with micro-batches 0 and 1 (with one, drop the second column):
//
//   combine(0) of the block before     rows of 1 come home
//   attention(0), route(0), dispatch(0)
//   combine(1) of the block before     rows of 0 travel out
//   attention(1), route(1), dispatch(1)
//   shared(0), experts(0), send home   rows of 1 travel out
//   shared(1), experts(1), send home   rows of 0 come home
//
// Within a micro-batch every line needs the one before; attention(1) needs attention(0) where a prompt was cut between
// them; nothing else. Each row's sums are the same in any order of the lines.
#include "layers/block.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "layers/experts.hpp"
#include "layers/route.hpp"

namespace moemill::layers {

void MicroBatch::reserve(const model::ModelConfig& config, std::size_t rows) {
  normed.reserve(rows * config.hidden);
  exact.reserve(rows * config.hidden);
  scores.reserve(rows * config.moe.experts);
  router_part.reserve(rows * config.moe.experts);
  if (config.moe.shared_gate) shared_gate.reserve(rows);
  picks.reserve(rows * config.moe.picks);
  weights.reserve(rows * config.moe.picks);
}

std::uint64_t MicroBatch::bytes() const {
  return normed.capacity_bytes() + exact.capacity_bytes() + scores.capacity_bytes() + router_part.capacity_bytes() +
         shared_gate.capacity_bytes() + picks.capacity() * sizeof(GlobalExpert) + weights.capacity() * sizeof(float);
}

namespace {

// Adds the time of its life to a phase.
class Phase {
 public:
  explicit Phase(double& seconds) : seconds_(seconds), start_(now_seconds()) {}
  ~Phase() { seconds_ += now_seconds() - start_; }
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;

 private:
  double& seconds_;
  double start_;
};

void attention(BlockTools& t, const model::LayerWeights& w, LayerId layer, MicroBatch& b) {
  const Phase phase(t.totals.attention_seconds);
  const std::size_t hidden = t.config.hidden, rows = b.plan.rows;
  if (t.gqa) {
    cpu::rms_norm(t.stream, b.hidden, hidden, rows, hidden, w.attention_norm, t.config.norm_eps, nullptr, 0,
                  b.exact.data(), hidden);
    t.gqa->run(w.gqa, layer, b.plan, b.exact.data(), b.exact.data());
  } else {
    cpu::rms_norm(t.stream, b.hidden, hidden, rows, hidden, w.attention_norm, t.config.norm_eps, b.normed.data(),
                  hidden, nullptr, 0);
    t.mla->run(w.mla, layer, b.plan, b.normed.data(), b.exact.data());
  }
  if (t.trace) trace_attention(*t.trace, t, layer, b);
  cpu::add_rows(t.stream, b.hidden, hidden, b.exact.data(), hidden, rows, hidden);
}

void dense_mlp(BlockTools& t, const model::LayerWeights& w, LayerId layer, MicroBatch& b) {
  const Phase phase(t.totals.mlp_seconds);
  const std::size_t hidden = t.config.hidden, rows = b.plan.rows;
  cpu::rms_norm(t.stream, b.hidden, hidden, rows, hidden, w.mlp_norm, t.config.norm_eps, b.normed.data(), hidden,
                nullptr, 0);
  add_mlp(t.stream, w.dense, {b.normed.data(), hidden}, rows, b.hidden, hidden, t.mlp);
  if (t.trace) trace_hidden(*t.trace, t, layer, b);
}

// A router stored in fp32 is the sum of three of bf16, and so are its logits; the parts join in their order.
void router_logits(BlockTools& t, const model::MoeWeights& w, MicroBatch& b) {
  const std::size_t experts = t.config.moe.experts, rows = b.plan.rows;
  const cpu::RowsF32 x{b.exact.data(), t.config.hidden};
  cpu::gemm(t.stream, x, rows, w.router, b.scores.data(), experts);
  for (const cpu::Matrix& rest : w.router_rest) {
    if (rest.data == nullptr) continue;
    cpu::gemm(t.stream, x, rows, rest, b.router_part.data(), experts);
    cpu::add_rows(t.stream, b.scores.data(), experts, b.router_part.data(), experts, rows, experts);
  }
  if (w.router_bias) cpu::add_bias(t.stream, b.scores.data(), experts, w.router_bias, rows, experts);
}

void route_rows(BlockTools& t, const model::LayerWeights& w, LayerId layer, MicroBatch& b,
                std::span<std::uint64_t> pick_counts) {
  const Phase phase(t.totals.mlp_seconds);
  const model::Moe& moe = t.config.moe;
  const std::size_t hidden = t.config.hidden, rows = b.plan.rows;
  cpu::rms_norm(t.stream, b.hidden, hidden, rows, hidden, w.mlp_norm, t.config.norm_eps, b.normed.data(), hidden,
                b.exact.data(), hidden);
  router_logits(t, w.moe, b);
  if (w.moe.shared_gate)
    cpu::sigmoid_dots(t.stream, b.exact.data(), hidden, rows, hidden, w.moe.shared_gate, b.shared_gate.data());
  if (t.trace) trace_logits(*t.trace, t, layer, b);
  b.picks.resize(rows * moe.picks);
  b.weights.resize(rows * moe.picks);
  route(t.stream, moe, w.moe.selection_bias, b.scores.data(), moe.experts, rows, b.picks, b.weights);
  count_picks(b.picks, pick_counts);
  if (t.trace) trace_picks(*t.trace, t, layer, b);
}

void dispatch(BlockTools& t, MicroBatch& b) {
  t.exchange.send_dispatch(b.channel, b.normed.data(), t.config.hidden, b.plan.rows, b.picks);
}

void shared_expert(BlockTools& t, const model::LayerWeights& w, MicroBatch& b) {
  const Phase phase(t.totals.mlp_seconds);
  const std::size_t hidden = t.config.hidden, rows = b.plan.rows;
  const cpu::RowsBf16 x{b.normed.data(), hidden};
  if (w.moe.shared_gate)
    add_scaled_mlp(t.stream, w.moe.shared, x, rows, b.shared_gate.data(), b.hidden, hidden, t.mlp);
  else
    add_mlp(t.stream, w.moe.shared, x, rows, b.hidden, hidden, t.mlp);
}

void experts(BlockTools& t, const model::LayerWeights& w, MicroBatch& b) {
  const ReceivedRows received = t.exchange.receive_dispatch(b.channel);
  {
    const Phase phase(t.totals.mlp_seconds);
    run_experts(t.stream, t.config.moe, w.moe.experts, received, t.mlp);
  }
  t.exchange.send_combine(b.channel);
  b.travelling = true;
}

void combine(BlockTools& t, LayerId layer, MicroBatch& b) {
  if (!b.travelling) return;
  t.exchange.receive_combine(b.channel, b.weights, b.hidden, t.config.hidden);
  b.travelling = false;
  if (t.trace) trace_hidden(*t.trace, t, layer, b);
}

}  // namespace

void run_block(BlockTools& tools, const model::LayerWeights& weights, LayerId layer, std::span<MicroBatch> batches,
               std::span<std::uint64_t> pick_counts) {
  const bool moe = tools.config.layer_is_moe[static_cast<std::size_t>(layer.value)];
  for (MicroBatch& b : batches) {
    combine(tools, {layer.value - 1}, b);
    attention(tools, weights, layer, b);
    if (moe) {
      route_rows(tools, weights, layer, b, pick_counts);
      dispatch(tools, b);
    } else {
      dense_mlp(tools, weights, layer, b);
    }
  }
  if (!moe) return;
  for (MicroBatch& b : batches) {
    shared_expert(tools, weights, b);
    experts(tools, weights, b);
  }
}

void finish_block(BlockTools& tools, LayerId last_layer, std::span<MicroBatch> batches) {
  for (MicroBatch& b : batches) combine(tools, last_layer, b);
}

}  // namespace moemill::layers
