#include "weights/loader.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "weights/stored_matrix.hpp"

namespace moemill::model {

namespace {

// Values of a piece: 1 MB of bf16, which stays in a core's caches between reading, decoding and packing. Weights
// digests are sums over pieces: who changes these numbers, or how a piece is cut, changes the weights' fingerprints,
// too.
constexpr std::uint64_t piece_values = 1u << 19;
constexpr std::uint32_t panel = cpu::panel_columns;

// Calls visit(first, count) for [0, rows) in chunks of whole `grain`s.
template <class Visit>
void chunks(std::uint64_t rows, std::uint64_t columns, std::uint64_t grain, Visit visit) {
  const std::uint64_t chunk = std::max(grain, piece_values / columns / grain * grain);
  for (std::uint64_t first = 0; first < rows; first += chunk) visit(first, std::min(chunk, rows - first));
}

}  // namespace

// Columns [first, first + count) of a matrix.
struct Loader::Columns {
  Place place;
  std::uint32_t first, count;
};

Weights Loader::walk(const Placement& placement, DomainRank rank) {
  Weights w;
  w.embedding = embedding();
  for (std::uint32_t layer = 0; layer < c_.layers; ++layer) {
    w.layers.push_back(block(c_.names.body + "layers." + std::to_string(layer), layer, placement, rank));
  }
  w.final_norm = floats(c_.names.body + "norm.weight", {c_.hidden}, Content::Norm);
  w.head = linear(c_.tied_embeddings ? c_.names.body + "embed_tokens" : c_.names.head, c_.hidden, c_.vocabulary);
  w.bytes = layout_.bytes();
  return w;
}

LayerWeights Loader::block(const std::string& name, std::uint32_t layer, const Placement& placement, DomainRank rank) {
  LayerWeights w;
  w.attention_norm = floats(name + ".input_layernorm.weight", {c_.hidden}, Content::Norm);
  if (c_.attention == AttentionKind::Latent) {
    w.attention = latent_attention(name + ".self_attn");
  } else {
    w.attention = grouped_attention(name + ".self_attn");
  }
  w.mlp_norm = floats(name + ".post_attention_layernorm.weight", {c_.hidden}, Content::Norm);
  if (c_.layer_is_moe[layer]) {
    w.moe = experts(name + "." + c_.names.moe, placement.layer({static_cast<std::int32_t>(layer)}), rank);
  } else {
    w.dense = mlp(name + ".mlp", c_.dense_width, {"gate_proj", "up_proj", "down_proj"});
  }
  return w;
}

MlaWeights Loader::latent_attention(const std::string& name) {
  const Mla& a = c_.mla;
  const std::uint32_t queries = a.heads * (a.qk_nope_dim + a.qk_rope_dim);
  MlaWeights w;
  if (a.q_lora_rank == 0) {
    w.q = linear(name + ".q_proj", c_.hidden, queries);
  } else {
    w.q_a = linear(name + ".q_a_proj", c_.hidden, a.q_lora_rank);
    w.q_a_norm = floats(name + ".q_a_layernorm.weight", {a.q_lora_rank}, Content::Norm);
    w.q_b = linear(name + ".q_b_proj", a.q_lora_rank, queries);
  }
  w.kv_a = linear(name + ".kv_a_proj_with_mqa", c_.hidden, a.kv_lora_rank + a.qk_rope_dim);
  w.kv_a_norm = floats(name + ".kv_a_layernorm.weight", {a.kv_lora_rank}, Content::Norm);
  latent_to_heads(name + ".kv_b_proj.weight", w);
  w.out = linear(name + ".o_proj", a.heads * a.v_dim, c_.hidden);
  return w;
}

// kv_b_proj [heads * (nope + v), kv_lora]: for each head first the keys' rows, then the values'. It is held in bf16
// however it is stored: its parts begin anywhere within a scale's block, and one of them is transposed.
void Loader::latent_to_heads(const std::string& name, MlaWeights& w) {
  const Mla& a = c_.mla;
  const std::uint32_t latent = a.kv_lora_rank, head_rows = a.qk_nope_dim + a.v_dim;
  const std::uint32_t tensor = want(name, {std::uint64_t{a.heads} * head_rows, latent}, Content::Matrix, latent);
  for (std::uint32_t head = 0; head < a.heads; ++head) {
    const Place key_up = layout_.take(latent, a.qk_nope_dim), value_up = layout_.take(latent, a.v_dim);
    const Place key_absorb = layout_.take(a.qk_nope_dim, latent);
    w.key_up.push_back(key_up.matrix);
    w.value_up.push_back(value_up.matrix);
    w.key_absorb.push_back(key_absorb.matrix);
    if (!planning()) continue;
    RowsPiece piece{tensor, std::uint64_t{head} * head_rows, head_rows, latent, {}, 3};
    const std::uint64_t values = std::uint64_t{a.qk_nope_dim} * latent;
    piece.packed[0] = {key_up.index, 0, latent, 0, a.qk_nope_dim, 0, latent, 1};
    piece.packed[1] = {value_up.index, 0, latent, 0, a.v_dim, values, latent, 1};
    piece.packed[2] = {key_absorb.index, 0, a.qk_nope_dim, 0, latent, 0, 1, latent};
    plan_->pieces.emplace_back(piece);
  }
}

GqaWeights Loader::grouped_attention(const std::string& name) {
  const Gqa& a = c_.gqa;
  const std::uint32_t queries = a.heads * a.head_dim, keys = a.kv_heads * a.head_dim;
  auto bias = [&](const char* part, std::uint32_t count) { return floats(name + part, {count}, Content::Bias); };
  GqaWeights w;
  w.q = linear(name + ".q_proj", c_.hidden, queries);
  w.k = linear(name + ".k_proj", c_.hidden, keys);
  w.v = linear(name + ".v_proj", c_.hidden, keys);
  w.out = linear(name + ".o_proj", queries, c_.hidden);
  if (a.qkv_bias) {
    w.q_bias = bias(".q_proj.bias", queries);
    w.k_bias = bias(".k_proj.bias", keys);
    w.v_bias = bias(".v_proj.bias", keys);
  }
  if (a.out_bias) w.out_bias = bias(".o_proj.bias", c_.hidden);
  if (a.qk_norm != QkNorm::None) {
    const bool all = a.qk_norm == QkNorm::AllHeads;
    w.q_norm = floats(name + ".q_norm.weight", {all ? queries : a.head_dim}, Content::Norm);
    w.k_norm = floats(name + ".k_norm.weight", {all ? keys : a.head_dim}, Content::Norm);
  }
  if (a.sinks) w.sinks = floats(name + ".sinks", {a.heads}, Content::Sinks);
  return w;
}

// Calls load(expert) for each expert that `rank` holds, by slot.
template <class Load>
void Loader::for_each_slot(const LayerPlacement& placement, DomainRank rank, const Load& load) {
  for (GlobalExpert expert : placement.slots(rank)) {
    const std::size_t first_piece = plan_ == nullptr ? 0 : plan_->pieces.size();
    load(static_cast<std::uint64_t>(expert.value));
    if (plan_ == nullptr || placement.holders(expert).front().rank == rank) continue;
    for (std::size_t i = first_piece; i < plan_->pieces.size(); ++i) {
      std::visit([](auto& piece) { piece.is_copy = true; }, plan_->pieces[i]);
    }
  }
}

MoeWeights Loader::experts(const std::string& name, const LayerPlacement& placement, DomainRank rank) {
  const TensorNames& names = c_.names;
  const std::string router = name + "." + names.router;
  MoeWeights w;
  if (c_.moe.router_exact) {
    exact_router(router + ".weight", w);
  } else {
    w.router = linear(router, c_.hidden, c_.moe.experts, Content::Router);
  }
  if (c_.moe.router_bias) w.router_bias = floats(router + ".bias", {c_.moe.experts}, Content::Bias);
  if (c_.moe.selection_bias) {
    w.selection_bias = floats(router + ".e_score_correction_bias", {c_.moe.experts}, Content::SelectionBias);
  }
  if (c_.moe.shared_width > 0) {
    const std::string shared = name + "." + names.shared;
    w.shared = mlp(shared, c_.moe.shared_width, {"gate_proj", "up_proj", "down_proj"});
    if (c_.moe.shared_gate) w.shared_gate = floats(shared + "_gate.weight", {1, c_.hidden}, Content::Gate);
  }
  holders_ = Holders::RanksOfExperts;
  expect(names.experts == ExpertStorage::Fused || !c_.moe.expert_bias, "loader: only gpt-oss's experts have biases");
  if (names.experts == ExpertStorage::Fused) {
    fused_experts(name + ".experts", placement, rank, w);
  } else if (names.experts == ExpertStorage::FusedHalves) {
    halved_experts(name + ".experts", placement, rank, w);
  } else {
    for_each_slot(placement, rank, [&](std::uint64_t expert) {
      const std::string prefix = name + ".experts." + std::to_string(expert);
      w.experts.push_back(mlp(prefix, c_.moe.expert_width, {names.gate, names.up, names.down}));
    });
  }
  holders_ = Holders::AllRanks;
  return w;
}

void Loader::exact_router(const std::string& name, MoeWeights& w) {
  const std::uint32_t e = c_.moe.experts, hidden = c_.hidden;
  const std::array<Place, 3> places = {layout_.take(hidden, e), layout_.take(hidden, e), layout_.take(hidden, e)};
  w.router = places[0].matrix;
  w.router_rest = {places[1].matrix, places[2].matrix};
  const std::uint32_t tensor = want(name, {e, hidden}, Content::ExactRouter, hidden);
  if (!planning()) return;
  chunks(e, places.size() * hidden, panel, [&](std::uint64_t first, std::uint64_t count) {
    RowsPiece piece{tensor, first, count, hidden, {}};
    for (const Place& place : places) {
      piece.packed[piece.packs] = {place.index,
                                   0,
                                   hidden,
                                   static_cast<std::uint32_t>(first),
                                   static_cast<std::uint32_t>(count),
                                   piece.packs * count * hidden,
                                   hidden,
                                   1};
      ++piece.packs;
    }
    plan_->pieces.emplace_back(piece);
  });
}

// All experts in one tensor each for gate and up, whose outputs alternate, and down. Plain numbers are stored input
// first, MXFP4 output first.
void Loader::fused_experts(const std::string& name, const LayerPlacement& placement, DomainRank rank, MoeWeights& w) {
  const std::uint32_t e = c_.moe.experts, width = c_.moe.expert_width, hidden = c_.hidden;
  const std::string gate_up_name = name + ".gate_up_proj", down_name = name + ".down_proj";
  const bool mxfp4 = c_.quantization.format == WeightFormat::Mxfp4;
  const Content content = mxfp4 ? Content::Mxfp4 : Content::Matrix;
  StoredRows stored{};
  if (mxfp4 && c_.quantization.keep) stored.stored.format = WeightFormat::Mxfp4;
  auto shape = [&](std::uint64_t out, std::uint64_t in) {
    return mxfp4 ? std::vector<std::uint64_t>{e, out, in} : std::vector<std::uint64_t>{e, in, out};
  };
  const std::uint32_t gate_up = want(gate_up_name, shape(2 * width, hidden), content, hidden);
  const std::uint32_t down = want(down_name, shape(hidden, width), content, width);
  std::uint32_t gate_up_bias = 0, down_bias = 0;
  if (c_.moe.expert_bias) {
    gate_up_bias = want(gate_up_name + "_bias", {e, 2 * width}, Content::Bias, 0);
    down_bias = want(down_name + "_bias", {e, hidden}, Content::Bias, 0);
  }
  for_each_slot(placement, rank, [&](std::uint64_t expert) {
    Place to_gate_up{}, to_down{};
    MlpWeights mlp = empty_mlp(width, {stored, stored, stored}, to_gate_up, to_down);
    const Columns gates{to_gate_up, 0, width}, ups{to_gate_up, mlp.up_offset, width}, downs{to_down, 0, hidden};
    if (mxfp4) {
      outputs(gate_up, expert * 2 * width, {gates, ups});
      outputs(down, expert * hidden, {downs});
    } else {
      inputs(gate_up, expert * hidden, {gates, ups});
      inputs(down, expert * width, {downs});
    }
    if (c_.moe.expert_bias) {
      float* first = layout_.take<float>(mlp.gate_up.n);
      float* second = layout_.take<float>(hidden);
      values(gate_up_bias, expert * 2 * width, 2, width, first);
      float* ups_first = first == nullptr ? nullptr : first + mlp.up_offset;  // null while only sizes are counted
      values(gate_up_bias, expert * 2 * width + 1, 2, width, ups_first);
      values(down_bias, expert * hidden, 1, hidden, second);
      mlp.gate_up_bias = first, mlp.down_bias = second;
    }
    w.experts.push_back(mlp);
  });
}

// All experts in one tensor each for gate and up, gate's rows before up's, and down. A rank reads its experts' rows.
void Loader::halved_experts(const std::string& name, const LayerPlacement& placement, DomainRank rank, MoeWeights& w) {
  const std::uint32_t e = c_.moe.experts, width = c_.moe.expert_width, hidden = c_.hidden;
  const std::uint32_t gate_up =
      want(name + ".gate_up_proj", {e, 2 * std::uint64_t{width}, hidden}, Content::Matrix, hidden);
  const std::uint32_t down = want(name + ".down_proj", {e, hidden, width}, Content::Matrix, width);
  for_each_slot(placement, rank, [&](std::uint64_t expert) {
    const std::string gate_up_name = name + ".gate_up_proj";
    const StoredRows gate = rows_of(gate_up_name, 2 * std::uint64_t{width}, hidden, 0, width);
    const StoredRows up = rows_of(gate_up_name, 2 * std::uint64_t{width}, hidden, width, width);
    Place to_gate_up{}, to_down{};
    const MlpWeights mlp =
        empty_mlp(width, {gate, up, rows_of(name + ".down_proj", hidden, width, 0, hidden)}, to_gate_up, to_down);
    outputs(gate_up, expert * 2 * width, {{to_gate_up, 0, width}});
    outputs(gate_up, expert * 2 * width + width, {{to_gate_up, mlp.up_offset, width}});
    outputs(down, expert * hidden, {{to_down, 0, hidden}});
    w.experts.push_back(mlp);
  });
}

// parts: the stored rows of gate, up and down.
MlpWeights Loader::empty_mlp(std::uint32_t width, const std::array<StoredRows, 3>& parts, Place& gate_up, Place& down) {
  MlpWeights w;
  w.width = width;
  w.up_offset = up_offset_of(width);
  gate_up = layout_.take(c_.hidden, w.up_offset + width, {parts.data(), 2});
  down = layout_.take(width, c_.hidden, {parts.data() + 2, 1});
  w.gate_up = gate_up.matrix;
  w.down = down.matrix;
  return w;
}

// parts: the names of gate, up and down.
MlpWeights Loader::mlp(const std::string& name, std::uint32_t width, const std::array<std::string, 3>& parts) {
  auto stored = [&](const std::string& part, std::uint32_t out, std::uint32_t in) {
    return rows_of(name + "." + part + ".weight", out, in, 0, out);
  };
  Place gate_up{}, down{};
  MlpWeights w = empty_mlp(
      width,
      {stored(parts[0], width, c_.hidden), stored(parts[1], width, c_.hidden), stored(parts[2], c_.hidden, width)},
      gate_up, down);
  auto tensor = [&](const std::string& part, std::uint32_t out, std::uint32_t in) {
    return want(name + "." + part + ".weight", {out, in}, Content::Matrix, in);
  };
  outputs(tensor(parts[0], width, c_.hidden), 0, {{gate_up, 0, width}});
  outputs(tensor(parts[1], width, c_.hidden), 0, {{gate_up, w.up_offset, width}});
  outputs(tensor(parts[2], c_.hidden, width), 0, {{down, 0, c_.hidden}});
  return w;
}

const bf16* Loader::embedding() {
  const std::uint64_t width = c_.hidden;
  const std::uint32_t tensor =
      want(c_.names.body + "embed_tokens.weight", {c_.vocabulary, width}, Content::Matrix, width);
  bf16* table = layout_.take<bf16>(c_.vocabulary * width);
  if (planning()) {
    chunks(c_.vocabulary, width, 1, [&](std::uint64_t first, std::uint64_t count) {
      plan_->pieces.emplace_back(RowsPiece{tensor, first, count, width, {}, 0, table + first * width});
    });
  }
  return table;
}

StoredRows Loader::rows_of(const std::string& name, std::uint64_t matrix_rows, std::uint32_t in,
                           std::uint64_t first_row, std::uint64_t rows) const {
  return {stored_matrix(c_, name, matrix_rows, in), first_row, rows};
}

cpu::Matrix Loader::linear(const std::string& name, std::uint32_t in, std::uint32_t out, Content content) {
  const std::string tensor = name + ".weight";
  const StoredRows rows = rows_of(tensor, out, in, 0, out);
  const Place place = content == Content::Matrix ? layout_.take(in, out, {&rows, 1}) : layout_.take(in, out);
  outputs(want(tensor, {out, in}, content, in), 0, {{place, 0, out}});
  return place.matrix;
}

const float* Loader::floats(const std::string& name, std::vector<std::uint64_t> shape, Content content) {
  const std::uint64_t count = shape.back();
  const std::uint64_t inputs = content == Content::Gate ? count : 0;
  float* out = layout_.take<float>(count);
  values(want(name, std::move(shape), content, inputs), 0, 1, count, out);
  return out;
}

void Loader::outputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to) {
  if (!planning()) return;
  const std::uint64_t ways = to.size(), width = to.begin()->place.matrix.k;
  chunks(to.begin()->count, ways * width, panel, [&](std::uint64_t first, std::uint64_t count) {
    RowsPiece piece{tensor, first_row + first * ways, count * ways, width, {}};
    for (const Columns& c : to) {
      piece.packed[piece.packs] = {c.place.index,
                                   0,
                                   c.place.matrix.k,
                                   c.first + static_cast<std::uint32_t>(first),
                                   static_cast<std::uint32_t>(count),
                                   piece.packs * width,
                                   ways * width,
                                   1};
      ++piece.packs;
    }
    plan_->pieces.emplace_back(piece);
  });
}

void Loader::inputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to) {
  if (!planning()) return;
  const std::uint64_t ways = to.size(), width = ways * to.begin()->count;
  chunks(to.begin()->place.matrix.k, width, 2, [&](std::uint64_t first, std::uint64_t count) {
    RowsPiece piece{tensor, first_row + first, count, width, {}};
    for (const Columns& c : to) {
      piece.packed[piece.packs] = {c.place.index,
                                   static_cast<std::uint32_t>(first),
                                   static_cast<std::uint32_t>(count),
                                   c.first,
                                   c.count,
                                   piece.packs,
                                   ways,
                                   width};
      ++piece.packs;
    }
    plan_->pieces.emplace_back(piece);
  });
}

void Loader::values(std::uint32_t tensor, std::uint64_t first, std::uint64_t step, std::uint64_t count, float* out) {
  if (planning()) plan_->pieces.emplace_back(FloatsPiece{tensor, first, step, count, out});
}

std::uint32_t Loader::want(std::string name, std::vector<std::uint64_t> shape, Content content, std::uint64_t inputs) {
  if (plan_ == nullptr) return 0;
  plan_->tensors.push_back({std::move(name), std::move(shape), content, inputs, holders_});
  return static_cast<std::uint32_t>(plan_->tensors.size() - 1);
}

}  // namespace moemill::model
