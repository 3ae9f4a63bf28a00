// What a model costs by its definition: parameters, cache bytes, operations. The planner, the ledger and the benchmarks
// measure themselves against these.
#include <algorithm>

#include "model/config.hpp"

namespace moemill::model {

namespace {

using Count = std::uint64_t;

Count mlp(const ModelConfig& c, std::uint32_t width) { return Count{3} * c.hidden * width; }

// Matrices of one layer's attention.
Count attention_matrices(const ModelConfig& c) {
  const Mla& a = c.mla;
  Count queries = Count{a.heads} * (a.qk_nope_dim + a.qk_rope_dim);
  Count q = a.q_lora_rank == 0 ? c.hidden * queries : a.q_lora_rank * (c.hidden + queries);
  Count kv =
      Count{c.hidden} * (a.kv_lora_rank + a.qk_rope_dim) + Count{a.kv_lora_rank} * a.heads * (a.qk_nope_dim + a.v_dim);
  return q + kv + Count{a.heads} * a.v_dim * c.hidden;
}

Count attention_norms(const ModelConfig& c) { return Count{c.mla.q_lora_rank} + c.mla.kv_lora_rank + 2 * c.hidden; }

Count moe_layers(const ModelConfig& c) {
  Count n = 0;
  for (bool moe : c.layer_is_moe) n += moe;
  return n;
}

Count head(const ModelConfig& c) { return Count{c.vocabulary} * c.hidden; }

// Weights that one token is multiplied by in all layers: no norms, no embedding, no head.
Count matrices_per_token(const ModelConfig& c) {
  Count moe = c.moe.picks * mlp(c, c.moe.expert_width) + mlp(c, c.moe.shared_width) + Count{c.hidden} * c.moe.experts;
  Count n = moe_layers(c);
  return c.layers * attention_matrices(c) + n * moe + (c.layers - n) * mlp(c, c.dense_width);
}

}  // namespace

ParameterCounts count_parameters(const ModelConfig& c) {
  ParameterCounts counts;
  Count n = moe_layers(c);
  counts.routed = n * c.moe.experts * mlp(c, c.moe.expert_width);
  Count picked = n * c.moe.picks * mlp(c, c.moe.expert_width);
  Count small = c.layers * attention_norms(c) + c.hidden + (c.moe.selection_bias ? n * c.moe.experts : 0);
  counts.active = matrices_per_token(c) + small + head(c);
  counts.total = counts.active - picked + counts.routed + (c.tied_embeddings ? 0 : head(c));
  return counts;
}

std::uint32_t kv_width(const ModelConfig& c) {
  return c.attention == AttentionKind::Latent ? c.mla.kv_lora_rank + c.mla.qk_rope_dim
                                              : 2 * c.gqa.kv_heads * c.gqa.head_dim;
}

std::uint32_t windowed_layers(const ModelConfig& c) {
  return static_cast<std::uint32_t>(std::count(c.gqa.layer_has_window.begin(), c.gqa.layer_has_window.end(), true));
}

std::uint64_t kv_bytes_per_token(const ModelConfig& c) { return Count{c.layers} * kv_width(c) * 2; }

double flops_per_generated_token(const ModelConfig& c, double context) {
  const Mla& a = c.mla;
  // Absorbed: kv_b's two halves act on the query and on the output, so its weights count once a token as well.
  double attention = context * a.heads * (2.0 * a.kv_lora_rank + a.qk_rope_dim);
  return 2 * (static_cast<double>(matrices_per_token(c) + head(c)) + c.layers * attention);
}

double flops_per_prompt_token(const ModelConfig& c, double context, double logit_rows_per_token) {
  const Mla& a = c.mla;
  double attention = context * a.heads * (1.0 * a.qk_nope_dim + a.qk_rope_dim + a.v_dim);
  return 2 * (static_cast<double>(matrices_per_token(c)) + logit_rows_per_token * static_cast<double>(head(c)) +
              c.layers * attention);
}

}  // namespace moemill::model
