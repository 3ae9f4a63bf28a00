// The costs of a model by its definition: parameters, cache bytes, operations. Planning, the ledger and the benchmarks
// compare measurements with them.
#include <algorithm>

#include "model/config.hpp"
#include "model/layer_counts.hpp"

namespace moemill::model {

namespace {

using Count = std::uint64_t;

Count mlp(const ModelConfig& c, std::uint32_t width) { return Count{3} * c.hidden * width; }

Count latent_matrices(const ModelConfig& c) {
  const Mla& a = c.mla;
  Count queries = Count{a.heads} * (a.qk_nope_dim + a.qk_rope_dim);
  Count q = a.q_lora_rank == 0 ? c.hidden * queries : a.q_lora_rank * (c.hidden + queries);
  Count kv =
      Count{c.hidden} * (a.kv_lora_rank + a.qk_rope_dim) + Count{a.kv_lora_rank} * a.heads * (a.qk_nope_dim + a.v_dim);
  return q + kv + Count{a.heads} * a.v_dim * c.hidden;
}

Count grouped_matrices(const ModelConfig& c) {
  const Gqa& a = c.gqa;
  return Count{2} * c.hidden * (a.heads + a.kv_heads) * a.head_dim;
}

// Matrices of one layer's attention.
Count attention_matrices(const ModelConfig& c) {
  return c.attention == AttentionKind::Latent ? latent_matrices(c) : grouped_matrices(c);
}

// Norms, biases and sinks of one layer's attention.
Count attention_vectors(const ModelConfig& c) {
  if (c.attention == AttentionKind::Latent) return Count{c.mla.q_lora_rank} + c.mla.kv_lora_rank;
  const Gqa& a = c.gqa;
  Count n = 0;
  if (a.qkv_bias) n += (Count{a.heads} + 2 * a.kv_heads) * a.head_dim;
  if (a.out_bias) n += c.hidden;
  if (a.sinks) n += a.heads;
  if (a.qk_norm == QkNorm::PerHead) n += 2 * Count{a.head_dim};
  if (a.qk_norm == QkNorm::AllHeads) n += (Count{a.heads} + a.kv_heads) * a.head_dim;
  return n;
}

Count moe_layers(const ModelConfig& c) {
  return static_cast<Count>(std::count(c.layer_is_moe.begin(), c.layer_is_moe.end(), true));
}

Count head(const ModelConfig& c) { return Count{c.vocabulary} * c.hidden; }

// Of all layers, with the gates of shared experts.
Count routers(const ModelConfig& c) { return moe_layers(c) * c.hidden * (c.moe.experts + (c.moe.shared_gate ? 1 : 0)); }

// kv_b of all layers: latents to keys and values.
Count latent_up(const ModelConfig& c) {
  const Mla& a = c.mla;
  if (c.attention != AttentionKind::Latent) return 0;
  return Count{c.layers} * a.kv_lora_rank * a.heads * (a.qk_nope_dim + a.v_dim);
}

// Weights of all layers that are multiplied with fp32 rows, kv_b aside (lib/layers/cpu/attention has the definitions).
Count exact_matrices(const ModelConfig& c) {
  if (c.arithmetic == Arithmetic::Int8) return routers(c);
  const bool latent = c.attention == AttentionKind::Latent;
  return routers(c) + c.layers * (latent ? Count{c.mla.heads} * c.mla.v_dim * c.hidden : grouped_matrices(c));
}

// Weights that one token is multiplied by in all layers: no norms, no biases, no embedding, no head.
Count matrices_per_token(const ModelConfig& c) {
  Count moe = c.moe.picks * mlp(c, c.moe.expert_width) + mlp(c, c.moe.shared_width);
  Count n = moe_layers(c);
  return c.layers * attention_matrices(c) + n * moe + routers(c) + (c.layers - n) * mlp(c, c.dense_width);
}

// One routed expert, with its biases.
Count expert(const ModelConfig& c) {
  return mlp(c, c.moe.expert_width) + (c.moe.expert_bias ? Count{2} * c.moe.expert_width + c.hidden : 0);
}

// Positions that a token's attention sees over all layers, at `context` positions.
double positions_seen(const ModelConfig& c, double context) {
  double windowed = windowed_layers(c);
  return (c.layers - windowed) * context + windowed * std::min<double>(context, c.gqa.window);
}

// Multiply-adds of the core for one row and one position: queries against keys, then weights against values.
double core_of(const ModelConfig& c, Pass pass) {
  const Mla& a = c.mla;
  if (c.attention == AttentionKind::Grouped) return 2.0 * c.gqa.heads * c.gqa.head_dim;
  return pass == Pass::Prompt ? a.heads * (1.0 * a.qk_nope_dim + a.qk_rope_dim + a.v_dim)
                              : a.heads * (2.0 * a.kv_lora_rank + a.qk_rope_dim);
}

Projections projections_of(const ModelConfig& c, Pass pass) {
  if (c.attention == AttentionKind::Grouped) {
    const Count out = Count{c.hidden} * c.gqa.heads * c.gqa.head_dim;
    return {grouped_matrices(c) - out, out, 1, 1};  // queries, keys and values are one matrix to an engine
  }
  const Mla& a = c.mla;
  Count after = Count{a.heads} * a.v_dim * c.hidden;
  if (pass == Pass::Generated) after += Count{a.kv_lora_rank} * a.heads * a.v_dim;
  return {latent_matrices(c) - after, after, 3, pass == Pass::Prompt ? 1u : 2u};
}

}  // namespace

ParameterCounts count_parameters(const ModelConfig& c) {
  ParameterCounts counts;
  Count n = moe_layers(c);
  counts.routed = n * c.moe.experts * expert(c);
  Count picked = n * c.moe.picks * expert(c);
  Count router_vectors = (c.moe.selection_bias ? c.moe.experts : 0) + (c.moe.router_bias ? c.moe.experts : 0);
  Count vectors = c.layers * (attention_vectors(c) + 2 * c.hidden) + c.hidden + n * router_vectors;
  Count picked_biases = picked - n * c.moe.picks * mlp(c, c.moe.expert_width);
  counts.active = matrices_per_token(c) + vectors + picked_biases + head(c);
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

double rounded_flops_per_token(const ModelConfig& c) {
  return 2 * static_cast<double>(matrices_per_token(c) - routers(c) - latent_up(c));
}

double exact_flops_per_generated_token(const ModelConfig& c, double context) {
  return 2 * (static_cast<double>(exact_matrices(c) + latent_up(c)) +
              positions_seen(c, context) * core_of(c, Pass::Generated));
}

double exact_flops_per_prompt_token(const ModelConfig& c, double context) {
  return 2 * (static_cast<double>(exact_matrices(c)) + positions_seen(c, context) * core_of(c, Pass::Prompt));
}

double flops_per_generated_token(const ModelConfig& c, double context) {
  // In the absorbed form, kv_b's two halves act on the query and on the output, so its weights also count once per
  // token.
  return 2 * (static_cast<double>(matrices_per_token(c) + head(c)) +
              positions_seen(c, context) * core_of(c, Pass::Generated));
}

double flops_per_prompt_token(const ModelConfig& c, double context, double logit_rows_per_token) {
  return 2 * (static_cast<double>(matrices_per_token(c)) + logit_rows_per_token * static_cast<double>(head(c)) +
              positions_seen(c, context) * core_of(c, Pass::Prompt));
}

LayerCounts count_layers(const ModelConfig& c) {
  LayerCounts counts;
  counts.prompt = projections_of(c, Pass::Prompt);
  counts.generated = projections_of(c, Pass::Generated);
  counts.prompt_core_flops = 2 * core_of(c, Pass::Prompt);
  counts.generated_core_flops = 2 * core_of(c, Pass::Generated);
  const bool latent = c.attention == AttentionKind::Latent;
  counts.query_heads = latent ? c.mla.heads : c.gqa.heads;
  counts.cached_head_width = latent ? kv_width(c) : c.gqa.head_dim;
  counts.expert = mlp(c, c.moe.expert_width);
  counts.shared_expert = mlp(c, c.moe.shared_width);
  counts.dense_mlp = mlp(c, c.dense_width);
  counts.moe_layers = static_cast<std::uint32_t>(moe_layers(c));
  counts.dense_layers = c.layers - counts.moe_layers;
  counts.head = head(c);
  return counts;
}

}  // namespace moemill::model
