// The bodies of weights/loader.hpp, for the files that instantiate them. Private to weights/.
#pragma once

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "weights/loader.hpp"

namespace moemill::model {

template <class Layout>
auto Loader<Layout>::walk(const NodeShare& share) -> WeightsOf<Matrix> {
  WeightsOf<Matrix> w;
  w.embedding = embedding();
  for (std::uint32_t layer = 0; layer < config_.layers; ++layer) {
    w.layers.push_back(
        this->layer(config_.names.body + "layers." + std::to_string(layer), {static_cast<std::int32_t>(layer)}, share));
  }
  w.final_norm = floats(config_.names.body + "norm.weight", {config_.hidden}, Content::Norm);
  w.head = head();
  w.bytes = layout_.bytes();
  return w;
}

template <class Layout>
auto Loader<Layout>::layer(const std::string& name, LayerId layer, const NodeShare& share) -> LayerWeightsOf<Matrix> {
  LayerWeightsOf<Matrix> w;
  w.attention_norm = floats(name + ".input_layernorm.weight", {config_.hidden}, Content::Norm);
  if (config_.attention == AttentionKind::Latent) {
    w.attention = latent_attention(name + ".self_attn");
  } else {
    w.attention = grouped_attention(name + ".self_attn");
  }
  w.mlp_norm = floats(name + ".post_attention_layernorm.weight", {config_.hidden}, Content::Norm);
  if (config_.layer_is_moe[static_cast<std::size_t>(layer.value)]) {
    w.moe = routed(name + "." + config_.names.moe, layer, share);
  } else {
    w.dense = mlp(name + ".mlp", config_.dense_width, {"gate_proj", "up_proj", "down_proj"});
  }
  return w;
}

template <class Layout>
auto Loader<Layout>::latent_attention(const std::string& name) -> MlaWeights {
  const Mla& a = config_.mla;
  const std::uint32_t queries = a.heads * (a.qk_nope_dim + a.qk_rope_dim);
  MlaWeights w;
  if (a.q_lora_rank == 0) {
    w.q = linear(name + ".q_proj", config_.hidden, queries);
  } else {
    w.q_a = linear(name + ".q_a_proj", config_.hidden, a.q_lora_rank);
    w.q_a_norm = floats(name + ".q_a_layernorm.weight", {a.q_lora_rank}, Content::Norm);
    w.q_b = linear(name + ".q_b_proj", a.q_lora_rank, queries);
  }
  w.kv_a = linear(name + ".kv_a_proj_with_mqa", config_.hidden, a.kv_lora_rank + a.qk_rope_dim);
  w.kv_a_norm = floats(name + ".kv_a_layernorm.weight", {a.kv_lora_rank}, Content::Norm);
  latent_to_heads(name + ".kv_b_proj.weight", w);
  w.out = linear(name + ".o_proj", a.heads * a.v_dim, config_.hidden);
  return w;
}

// kv_b_proj [heads * (nope + v), kv_lora]: for each head first the keys' rows, then the values'. It is held in bf16
// however it is stored: its parts begin anywhere within a scale's block, and one of them is transposed.
template <class Layout>
void Loader<Layout>::latent_to_heads(const std::string& name, MlaWeights& w) {
  const Mla& a = config_.mla;
  const std::uint32_t latent = a.kv_lora_rank, head_rows = a.qk_nope_dim + a.v_dim;
  const std::uint32_t tensor = plan_.want(name, {std::uint64_t{a.heads} * head_rows, latent}, Content::Matrix, latent);
  for (std::uint32_t head = 0; head < a.heads; ++head) {
    const Place key_up = layout_.take(latent, a.qk_nope_dim), value_up = layout_.take(latent, a.v_dim);
    const Place key_absorb = layout_.take(a.qk_nope_dim, latent);
    w.key_up.push_back(key_up.matrix);
    w.value_up.push_back(value_up.matrix);
    w.key_absorb.push_back(key_absorb.matrix);
    RowsPiece piece{tensor, std::uint64_t{head} * head_rows, head_rows, latent, {}, 3};
    const std::uint64_t values = std::uint64_t{a.qk_nope_dim} * latent;
    piece.destinations[0] = {key_up.index, 0, latent, 0, a.qk_nope_dim, 0, latent, 1};
    piece.destinations[1] = {value_up.index, 0, latent, 0, a.v_dim, values, latent, 1};
    piece.destinations[2] = {key_absorb.index, 0, a.qk_nope_dim, 0, latent, 0, 1, latent};
    plan_.rows(piece);
  }
}

template <class Layout>
auto Loader<Layout>::grouped_attention(const std::string& name) -> GqaWeights {
  const Gqa& a = config_.gqa;
  const std::uint32_t queries = a.heads * a.head_dim, keys = a.kv_heads * a.head_dim;
  auto bias = [&](const char* part, std::uint32_t count) { return floats(name + part, {count}, Content::Bias); };
  GqaWeights w;
  w.q = linear(name + ".q_proj", config_.hidden, queries);
  w.k = linear(name + ".k_proj", config_.hidden, keys);
  w.v = linear(name + ".v_proj", config_.hidden, keys);
  w.out = linear(name + ".o_proj", queries, config_.hidden);
  if (a.qkv_bias) {
    w.q_bias = bias(".q_proj.bias", queries);
    w.k_bias = bias(".k_proj.bias", keys);
    w.v_bias = bias(".v_proj.bias", keys);
  }
  if (a.out_bias) w.out_bias = bias(".o_proj.bias", config_.hidden);
  if (a.qk_norm != QkNorm::None) {
    const bool all = a.qk_norm == QkNorm::AllHeads;
    w.q_norm = floats(name + ".q_norm.weight", {all ? queries : a.head_dim}, Content::Norm);
    w.k_norm = floats(name + ".k_norm.weight", {all ? keys : a.head_dim}, Content::Norm);
  }
  if (a.sinks) w.sinks = floats(name + ".sinks", {a.heads}, Content::Sinks);
  return w;
}

// Calls load(expert), which returns the expert's weights, for each expert of the node, and keeps those that the rank
// may compute. Both lists ascend.
template <class Layout>
template <class Load>
void Loader<Layout>::each_expert(LayerId layer, const NodeShare& share, MoeWeights& w, const Load& load) {
  const std::span<const GlobalExpert> computes = share.computes.layer(layer);
  for (const GlobalExpert expert : share.node.layer(layer)) {
    plan_.set_part(++experts_);
    const MlpWeights mlp = load(static_cast<std::uint64_t>(expert.value));
    if (w.experts.size() < computes.size() && computes[w.experts.size()] == expert) w.experts.push_back(mlp);
  }
  expect(w.experts.size() == computes.size(), "loader: the node has what its ranks compute");
  plan_.set_part(replicated_part);
}

template <class Layout>
auto Loader<Layout>::routed(const std::string& name, LayerId layer, const NodeShare& share) -> MoeWeights {
  const std::string router = name + "." + config_.names.router;
  MoeWeights w;
  if (config_.moe.router_exact) {
    exact_router(router + ".weight", w);
  } else {
    w.router = fill(router, layout_.take(config_.hidden, config_.moe.experts), Content::Router);
  }
  if (config_.moe.router_bias) w.router_bias = floats(router + ".bias", {config_.moe.experts}, Content::Bias);
  if (config_.moe.selection_bias) {
    w.selection_bias = floats(router + ".e_score_correction_bias", {config_.moe.experts}, Content::SelectionBias);
  }
  if (config_.moe.shared_width > 0) {
    const std::string shared = name + "." + config_.names.shared;
    w.shared = mlp(shared, config_.moe.shared_width, {"gate_proj", "up_proj", "down_proj"});
    if (config_.moe.shared_gate) w.shared_gate = floats(shared + "_gate.weight", {1, config_.hidden}, Content::Gate);
  }
  experts(name + ".experts", layer, share, w);
  return w;
}

template <class Layout>
void Loader<Layout>::exact_router(const std::string& name, MoeWeights& w) {
  const std::uint32_t e = config_.moe.experts, hidden = config_.hidden;
  const std::array<Place, 3> places = {layout_.take(hidden, e), layout_.take(hidden, e), layout_.take(hidden, e)};
  w.router = places[0].matrix;
  w.router_rest = {places[1].matrix, places[2].matrix};
  const std::uint32_t tensor = plan_.want(name, {e, hidden}, Content::ExactRouter, hidden);
  plan_.exact_outputs(tensor, {columns(places[0], 0, e), columns(places[1], 0, e), columns(places[2], 0, e)});
}

template <class Layout>
void Loader<Layout>::experts(const std::string& name, LayerId layer, const NodeShare& share, MoeWeights& w) {
  const TensorNames& names = config_.names;
  expect(names.experts == ExpertStorage::Fused || !config_.moe.expert_bias,
         "loader: only gpt-oss's experts have biases");
  switch (names.experts) {
    case ExpertStorage::Fused: fused_experts(name, layer, share, w); break;
    case ExpertStorage::FusedHalves: halved_experts(name, layer, share, w); break;
    case ExpertStorage::Separate:
      each_expert(layer, share, w, [&](std::uint64_t expert) {
        const std::string prefix = name + "." + std::to_string(expert);
        return mlp(prefix, config_.moe.expert_width, {names.gate, names.up, names.down});
      });
      break;
  }
}

// All experts in one tensor for gate and up, whose outputs alternate, and one for down. Unquantised numbers are stored
// input first, MXFP4 output first.
template <class Layout>
void Loader<Layout>::fused_experts(const std::string& name, LayerId layer, const NodeShare& share, MoeWeights& w) {
  const std::uint32_t e = config_.moe.experts, width = config_.moe.expert_width, hidden = config_.hidden;
  const std::string gate_up_name = name + ".gate_up_proj", down_name = name + ".down_proj";
  const bool mxfp4 = config_.quantization.format == WeightFormat::Mxfp4;
  const Content content = mxfp4 ? Content::Mxfp4 : Content::Matrix;
  StoredRows stored{};
  if (mxfp4 && config_.quantization.keep) stored.stored.format = WeightFormat::Mxfp4;
  auto shape = [&](std::uint64_t out, std::uint64_t in) {
    return mxfp4 ? std::vector<std::uint64_t>{e, out, in} : std::vector<std::uint64_t>{e, in, out};
  };
  const std::uint32_t gate_up = plan_.want(gate_up_name, shape(2 * width, hidden), content, hidden);
  const std::uint32_t down = plan_.want(down_name, shape(hidden, width), content, width);
  std::uint32_t gate_up_bias = 0, down_bias = 0;
  if (config_.moe.expert_bias) {
    gate_up_bias = plan_.want(gate_up_name + "_bias", {e, 2 * width}, Content::Bias, 0);
    down_bias = plan_.want(down_name + "_bias", {e, hidden}, Content::Bias, 0);
  }
  each_expert(layer, share, w, [&](std::uint64_t expert) {
    Place to_gate_up{}, to_down{};
    MlpWeights mlp = empty_mlp(width, {stored, stored, stored}, to_gate_up, to_down);
    const Columns gates = columns(to_gate_up, 0, width), ups = columns(to_gate_up, mlp.up_offset, width);
    const Columns downs = columns(to_down, 0, hidden);
    if (mxfp4) {
      plan_.outputs(gate_up, expert * 2 * width, {gates, ups});
      plan_.outputs(down, expert * hidden, {downs});
    } else {
      plan_.inputs(gate_up, expert * hidden, {gates, ups}, product_inputs());
      plan_.inputs(down, expert * width, {downs}, product_inputs());
    }
    if (config_.moe.expert_bias) expert_biases(expert, gate_up_bias, down_bias, mlp);
    return mlp;
  });
}

// gate_up_bias, down_bias: tensors [experts, 2 * width], in which gate and up alternate, and [experts, hidden].
template <class Layout>
void Loader<Layout>::expert_biases(std::uint64_t expert, std::uint32_t gate_up_bias, std::uint32_t down_bias,
                                   MlpWeights& w) {
  const std::uint64_t width = w.width, first = expert * 2 * width;
  const Vector<float, Space> gate_up = layout_.template take<float>(w.up_offset + width);
  const Vector<float, Space> down = layout_.template take<float>(config_.hidden);
  float* up = gate_up ? gate_up.data + w.up_offset : nullptr;  // null while the layout only counts
  plan_.floats(gate_up_bias, first, 2, width, gate_up.data);
  plan_.floats(gate_up_bias, first + 1, 2, width, up);
  plan_.floats(down_bias, expert * config_.hidden, 1, config_.hidden, down.data);
  w.gate_up_bias = gate_up, w.down_bias = down;
}

// All experts in one tensor for gate and up, gate's rows before up's, and one for down.
template <class Layout>
void Loader<Layout>::halved_experts(const std::string& name, LayerId layer, const NodeShare& share, MoeWeights& w) {
  const std::uint32_t e = config_.moe.experts, width = config_.moe.expert_width, hidden = config_.hidden;
  const std::uint64_t both = 2 * std::uint64_t{width};  // rows of gate and up
  const std::string gate_up_name = name + ".gate_up_proj", down_name = name + ".down_proj";
  const std::uint32_t gate_up = plan_.want(gate_up_name, {e, both, hidden}, Content::Matrix, hidden);
  const std::uint32_t down = plan_.want(down_name, {e, hidden, width}, Content::Matrix, width);
  const std::array<StoredRows, 3> stored = {rows_of(gate_up_name, both, hidden, 0, width),
                                            rows_of(gate_up_name, both, hidden, width, width),
                                            rows_of(down_name, hidden, width, 0, hidden)};
  each_expert(layer, share, w, [&](std::uint64_t expert) {
    Place to_gate_up{}, to_down{};
    const MlpWeights mlp = empty_mlp(width, stored, to_gate_up, to_down);
    plan_.outputs(gate_up, expert * both, {columns(to_gate_up, 0, width)});
    plan_.outputs(gate_up, expert * both + width, {columns(to_gate_up, mlp.up_offset, width)});
    plan_.outputs(down, expert * hidden, {columns(to_down, 0, hidden)});
    return mlp;
  });
}

// parts: the stored rows of gate, up and down.
template <class Layout>
auto Loader<Layout>::empty_mlp(std::uint32_t width, const std::array<StoredRows, 3>& parts, Place& gate_up, Place& down)
    -> MlpWeights {
  MlpWeights w;
  w.width = width;
  w.up_offset = round_up(width, Layout::columns_step);
  gate_up = take_product(config_.hidden, w.up_offset + width, {parts.data(), 2});
  down = take_product(width, config_.hidden, {parts.data() + 2, 1});
  w.gate_up = gate_up.matrix;
  w.down = down.matrix;
  return w;
}

// parts: the names of gate, up and down.
template <class Layout>
auto Loader<Layout>::mlp(const std::string& name, std::uint32_t width, const std::array<std::string, 3>& parts)
    -> MlpWeights {
  auto tensor_name = [&](std::size_t part) { return name + "." + parts[part] + ".weight"; };
  const std::array<StoredRows, 3> stored = {rows_of(tensor_name(0), width, config_.hidden, 0, width),
                                            rows_of(tensor_name(1), width, config_.hidden, 0, width),
                                            rows_of(tensor_name(2), config_.hidden, width, 0, config_.hidden)};
  Place gate_up{}, down{};
  const MlpWeights w = empty_mlp(width, stored, gate_up, down);
  auto tensor = [&](std::size_t part, std::uint32_t out, std::uint32_t in) {
    return plan_.want(tensor_name(part), {out, in}, Content::Matrix, in);
  };
  plan_.outputs(tensor(0, width, config_.hidden), 0, {columns(gate_up, 0, width)});
  plan_.outputs(tensor(1, width, config_.hidden), 0, {columns(gate_up, w.up_offset, width)});
  plan_.outputs(tensor(2, config_.hidden, width), 0, {columns(down, 0, config_.hidden)});
  return w;
}

template <class Layout>
auto Loader<Layout>::embedding() -> Rows<const bf16, Space> {
  const std::uint64_t width = config_.hidden;
  const std::string name = config_.names.body + "embed_tokens.weight";
  bf16* table = layout_.template take<bf16>(config_.vocabulary * width).data;
  plan_.table(plan_.want(name, {config_.vocabulary, width}, Content::Matrix, width), config_.vocabulary, width, table);
  return {table, config_.vocabulary, width};
}

template <class Layout>
StoredRows Loader<Layout>::rows_of(const std::string& name, std::uint64_t matrix_rows, std::uint32_t in,
                                   std::uint64_t first_row, std::uint64_t rows) const {
  return {stored_matrix(config_, name, matrix_rows, in), first_row, rows};
}

template <class Layout>
auto Loader<Layout>::take_product(std::uint32_t k, std::uint32_t n, std::span<const StoredRows> parts) -> Place {
  return config_.arithmetic == Arithmetic::Int8 ? layout_.take_int8(k, n) : layout_.take(k, n, parts);
}

template <class Layout>
std::uint32_t Loader<Layout>::product_inputs() const {
  return config_.arithmetic == Arithmetic::Int8 ? Layout::int8_inputs : piece_columns;
}

template <class Layout>
auto Loader<Layout>::linear(const std::string& name, std::uint32_t in, std::uint32_t out) -> Matrix {
  const StoredRows rows = rows_of(name + ".weight", out, in, 0, out);
  return fill(name, take_product(in, out, {&rows, 1}), Content::Matrix);
}

template <class Layout>
auto Loader<Layout>::head() -> Matrix {
  const std::string name = config_.tied_embeddings ? config_.names.body + "embed_tokens" : config_.names.head;
  const StoredRows rows = rows_of(name + ".weight", config_.vocabulary, config_.hidden, 0, config_.vocabulary);
  return fill(name, layout_.take(config_.hidden, config_.vocabulary, {&rows, 1}), Content::Matrix);
}

template <class Layout>
auto Loader<Layout>::fill(const std::string& name, const Place& place, Content content) -> Matrix {
  const std::uint32_t in = place.matrix.k, out = place.matrix.n;
  plan_.outputs(plan_.want(name + ".weight", {out, in}, content, in), 0, {columns(place, 0, out)});
  return place.matrix;
}

template <class Layout>
auto Loader<Layout>::floats(const std::string& name, std::vector<std::uint64_t> shape, Content content)
    -> Vector<const float, Space> {
  const std::uint64_t count = shape.back();
  const std::uint64_t inputs = content == Content::Gate ? count : 0;
  const Vector<float, Space> out = layout_.template take<float>(count);
  plan_.floats(plan_.want(name, std::move(shape), content, inputs), 0, 1, count, out.data);
  return out;
}

}  // namespace moemill::model
