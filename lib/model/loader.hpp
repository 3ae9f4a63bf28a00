// The walk over a model's tensors: names, shapes, places in memory and packing, each said once. With memory it loads;
// without, it measures or checks. Private to model/: load_weights, weight_bytes and check_model_files are this walk.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "model/tensor_source.hpp"
#include "model/weights.hpp"

namespace moemill::model {

// Hands out 64-byte aligned pieces in order. Without memory it only counts.
class Arena {
 public:
  explicit Arena(std::byte* base) : base_(base) {}

  template <class T>
  T* take(std::uint64_t count) {
    std::uint64_t at = used_;
    used_ += (count * sizeof(T) + 63) / 64 * 64;
    return base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + at);
  }
  // Kernels may load whole vectors past the last value.
  std::uint64_t bytes() const { return used_ + 256; }

 private:
  std::byte* base_;
  std::uint64_t used_ = 0;
};

template <class Source>
class Loader {
 public:
  Loader(Source& source, std::byte* memory, const ModelConfig& config) : source_(source), arena_(memory), c_(config) {}

  Weights walk(const Placement& placement, DomainRank rank) {
    Weights w;
    w.embedding = embedding();
    for (std::uint32_t layer = 0; layer < c_.layers; ++layer) {
      w.layers.push_back(block("model.layers." + std::to_string(layer), c_.layer_is_moe[layer], placement, rank));
    }
    w.final_norm = floats("model.norm.weight", c_.hidden);
    w.head = linear(c_.tied_embeddings ? "model.embed_tokens" : "lm_head", c_.hidden, c_.vocabulary);
    w.bytes = arena_.bytes();
    return w;
  }

 private:
  LayerWeights block(const std::string& name, bool moe, const Placement& placement, DomainRank rank) {
    LayerWeights w;
    w.attention_norm = floats(name + ".input_layernorm.weight", c_.hidden);
    w.mla = latent_attention(name + ".self_attn");
    w.mlp_norm = floats(name + ".post_attention_layernorm.weight", c_.hidden);
    if (moe) {
      w.moe = experts(name + ".mlp", placement, rank);
    } else {
      w.dense = mlp(name + ".mlp", c_.dense_width);
    }
    return w;
  }

  MlaWeights latent_attention(const std::string& name) {
    const Mla& a = c_.mla;
    const std::uint32_t queries = a.heads * (a.qk_nope_dim + a.qk_rope_dim);
    MlaWeights w;
    if (a.q_lora_rank == 0) {
      w.q = linear(name + ".q_proj", c_.hidden, queries);
    } else {
      w.q_a = linear(name + ".q_a_proj", c_.hidden, a.q_lora_rank);
      w.q_a_norm = floats(name + ".q_a_layernorm.weight", a.q_lora_rank);
      w.q_b = linear(name + ".q_b_proj", a.q_lora_rank, queries);
    }
    w.kv_a = linear(name + ".kv_a_proj_with_mqa", c_.hidden, a.kv_lora_rank + a.qk_rope_dim);
    w.kv_a_norm = floats(name + ".kv_a_layernorm.weight", a.kv_lora_rank);
    latent_to_heads(name + ".kv_b_proj.weight", w);
    w.out = linear(name + ".o_proj", a.heads * a.v_dim, c_.hidden);
    return w;
  }

  // kv_b_proj [heads * (nope + v), kv_lora]: of each head first the keys' rows, then the values'.
  void latent_to_heads(const std::string& name, MlaWeights& w) {
    const Mla& a = c_.mla;
    const std::uint32_t head_rows = a.qk_nope_dim + a.v_dim;
    source_.need(name, {std::uint64_t{a.heads} * head_rows, a.kv_lora_rank});
    for (std::uint32_t head = 0; head < a.heads; ++head) {
      bf16* key_up = arena_.template take<bf16>(cpu::packed_count(a.kv_lora_rank, a.qk_nope_dim));
      bf16* value_up = arena_.template take<bf16>(cpu::packed_count(a.kv_lora_rank, a.v_dim));
      bf16* key_absorb = arena_.template take<bf16>(cpu::packed_count(a.qk_nope_dim, a.kv_lora_rank));
      w.key_up.push_back({key_up, a.kv_lora_rank, a.qk_nope_dim});
      w.value_up.push_back({value_up, a.kv_lora_rank, a.v_dim});
      w.key_absorb.push_back({key_absorb, a.qk_nope_dim, a.kv_lora_rank});
      if constexpr (reads) {
        if (key_up == nullptr) continue;
        const std::size_t in = a.kv_lora_rank;
        const bf16* rows = source_.rows(name, in, std::uint64_t{head} * head_rows, head_rows);
        cpu::pack(key_up, a.kv_lora_rank, a.qk_nope_dim, rows, in, 1, 0, a.qk_nope_dim);
        cpu::pack(value_up, a.kv_lora_rank, a.v_dim, rows + a.qk_nope_dim * in, in, 1, 0, a.v_dim);
        cpu::pack(key_absorb, a.qk_nope_dim, a.kv_lora_rank, rows, 1, in, 0, a.kv_lora_rank);
      }
    }
    release(name);
  }

  MoeWeights experts(const std::string& name, const Placement& placement, DomainRank rank) {
    MoeWeights w;
    w.router = linear(name + ".gate", c_.hidden, c_.moe.experts);
    if (c_.moe.selection_bias) w.selection_bias = floats(name + ".gate.e_score_correction_bias", c_.moe.experts);
    if (c_.moe.shared_width > 0) w.shared = mlp(name + ".shared_experts", c_.moe.shared_width);
    for (std::uint32_t i = 0; i < placement.count(rank); ++i) {
      std::uint32_t expert = static_cast<std::uint32_t>(placement.first(rank).value) + i;
      w.experts.push_back(mlp(name + ".experts." + std::to_string(expert), c_.moe.expert_width));
    }
    return w;
  }

  MlpWeights mlp(const std::string& name, std::uint32_t width) {
    MlpWeights w;
    w.width = width;
    w.up_offset = (width + 31) / 32 * 32;
    const std::uint32_t n = w.up_offset + width;
    bf16* packed = arena_.template take<bf16>(cpu::packed_count(c_.hidden, n));
    w.gate_up = {packed, c_.hidden, n};
    columns(name + ".gate_proj.weight", width, packed, w.gate_up, 0, w.up_offset);
    columns(name + ".up_proj.weight", width, packed, w.gate_up, w.up_offset, n);
    w.down = linear(name + ".down_proj", width, c_.hidden);
    return w;
  }

  PackedMatrix linear(const std::string& name, std::uint32_t in, std::uint32_t out) {
    bf16* packed = arena_.template take<bf16>(cpu::packed_count(in, out));
    PackedMatrix w{packed, in, out};
    columns(name + ".weight", out, packed, w, 0, out);
    return w;
  }

  // A tensor [rows, w.k] becomes columns [first, first + rows) of w; columns from there to `end` are zero.
  void columns(const std::string& name, std::uint32_t rows, bf16* packed, const PackedMatrix& w, std::uint32_t first,
               std::uint32_t end) {
    source_.need(name, {rows, w.k});
    if constexpr (reads) {
      if (packed == nullptr) return;
      // Whole panels of 32 rows, about 4 MB at a time; then the last panel, padded where `end` lies further.
      const std::uint32_t chunk = std::max(32u, (1u << 21) / w.k / 32 * 32);
      const std::uint32_t whole = end == first + rows ? rows : rows / 32 * 32;
      for (std::uint32_t row = 0; row < whole; row += chunk) {
        std::uint32_t count = std::min(chunk, whole - row);
        cpu::pack(packed, w.k, w.n, source_.rows(name, w.k, row, count), w.k, 1, first + row, count);
      }
      if (whole < rows) {
        bf16* panel = padded_.reserve(32 * std::size_t{w.k});
        std::fill_n(panel, 32 * std::size_t{w.k}, bf16{0});
        std::uint32_t count = rows - whole;
        std::memcpy(panel, source_.rows(name, w.k, whole, count), std::size_t{count} * w.k * sizeof(bf16));
        cpu::pack(packed, w.k, w.n, panel, w.k, 1, first + whole, end - first - whole);
      }
      release(name);
    }
  }

  const bf16* embedding() {
    const std::string name = "model.embed_tokens.weight";
    const std::uint64_t width = c_.hidden;
    source_.need(name, {c_.vocabulary, width});
    bf16* table = arena_.template take<bf16>(c_.vocabulary * width);
    if constexpr (reads) {
      const std::uint64_t chunk = std::max<std::uint64_t>(1, (1u << 21) / width);
      for (std::uint64_t row = 0; table != nullptr && row < c_.vocabulary; row += chunk) {
        std::uint64_t count = std::min(chunk, c_.vocabulary - row);
        std::memcpy(table + row * width, source_.rows(name, width, row, count), count * width * sizeof(bf16));
      }
      release(name);
    }
    return table;
  }

  const float* floats(const std::string& name, std::uint32_t count) {
    source_.need(name, {count});
    float* values = arena_.template take<float>(count);
    if constexpr (reads) {
      if (values != nullptr) source_.floats(name, count, values);
    }
    return values;
  }

  void release(const std::string& name) {
    if constexpr (reads) source_.release(name);
  }

  static constexpr bool reads = !std::is_same_v<Source, NoSource>;
  Source& source_;
  Arena arena_;
  const ModelConfig& c_;
  AlignedBuffer<bf16> padded_;
};

}  // namespace moemill::model
