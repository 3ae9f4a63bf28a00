// Compares a rank's packed weights with a folder's tensors, value by value. It has its own plain description of names,
// shapes and storage formats, so that a mistake of the loader shows.
#pragma once

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "model/folders.hpp"
#include "weights/cpu/weights.hpp"
#include "weights/stored_model.hpp"

namespace moemill::test {

using model::ModelConfig;

// E4M3 by its definition: 1 sign bit, 4 exponent bits with bias 7, 3 fraction bits; 0x7f and 0xff are NaN.
inline float e4m3_value(std::uint8_t code) {
  const int exponent = code >> 3 & 15, fraction = code & 7;
  if ((code & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction) / 8, -6)
                                   : std::ldexp(1 + static_cast<float>(fraction) / 8, exponent - 7);
  return (code & 0x80) != 0 ? -size : size;
}

// The value of an E2M1 code times 2^(scale - 127).
inline double mxfp4_value(std::uint8_t nibble, std::uint8_t scale) {
  constexpr double sizes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const double size = std::ldexp(sizes[nibble & 7], scale - 127);
  return (nibble & 8) != 0 ? -size : size;
}

class Compare {
 public:
  Compare(const ModelConfig& config, const fs::path& dir) : c_(config) {
    for (RawTensor& t : read_tensors(dir)) tensors_.emplace(t.name, std::move(t));
    const std::string& type = c_.model_type;
    if (type == "mixtral") names_ = {"block_sparse_moe", "gate", "w1", "w3", "w2", ""};
    if (type == "qwen2_moe") names_.shared = "shared_expert";
    if (type == "gpt_oss") names_.router = "router";
  }

  std::uint64_t compared = 0;
  std::uint64_t wrong = 0;

  void all(const model::Weights& w, const model::Placement& placement, DomainRank rank) {
    const Decoded& table = matrix("model.embed_tokens.weight");
    REQUIRE(w.embedding.rows == c_.vocabulary);
    REQUIRE(w.embedding.width == c_.hidden);
    for (std::uint64_t i = 0; i < c_.vocabulary; ++i) {
      for (std::uint64_t j = 0; j < c_.hidden; ++j) same(w.embedding.row(i)[j], table(i, j));
    }
    linear(w.head, c_.tied_embeddings ? "model.embed_tokens" : "lm_head");
    floats(w.final_norm, c_.hidden, "model.norm.weight");
    REQUIRE(w.layers.size() == c_.layers);
    for (std::uint32_t i = 0; i < c_.layers; ++i)
      layer(w.layers[i], i, model::NodeExperts(placement, rank).layer({static_cast<std::int32_t>(i)}));
  }

  // Tensors of the folder that were not compared.
  std::vector<std::string> left_over() const {
    std::vector<std::string> names;
    for (const auto& [name, t] : tensors_) {
      if (!used_.contains(name)) names.push_back(name);
    }
    return names;
  }

 private:
  struct Names {
    std::string moe = "mlp", router = "gate", gate = "gate_proj", up = "up_proj", down = "down_proj",
                shared = "shared_experts";
  };

  void layer(const model::LayerWeights& w, std::uint32_t index, std::span<const GlobalExpert> slots) {
    const std::string name = "model.layers." + std::to_string(index);
    floats(w.attention_norm, c_.hidden, name + ".input_layernorm.weight");
    floats(w.mlp_norm, c_.hidden, name + ".post_attention_layernorm.weight");
    if (tensors_.contains(name + ".self_attn.kv_b_proj.weight")) {
      latent(std::get<model::MlaWeights>(w.attention), name + ".self_attn");
    } else {
      grouped(std::get<model::GqaWeights>(w.attention), name + ".self_attn");
    }
    const std::string moe = name + "." + names_.moe;
    if (!tensors_.contains(moe + "." + names_.router + ".weight")) {
      return mlp(w.dense, moe, {"gate_proj", "up_proj", "down_proj"});
    }
    router(w.moe, moe + "." + names_.router);
    optional_floats(w.moe.router_bias, c_.moe.experts, moe + "." + names_.router + ".bias");
    optional_floats(w.moe.selection_bias, c_.moe.experts, moe + "." + names_.router + ".e_score_correction_bias");
    const std::string shared = moe + "." + names_.shared;
    if (tensors_.contains(shared + ".up_proj.weight")) mlp(w.moe.shared, shared, {"gate_proj", "up_proj", "down_proj"});
    optional_floats(w.moe.shared_gate, c_.hidden, shared + "_gate.weight");
    REQUIRE(w.moe.experts.size() == slots.size());
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const auto expert = static_cast<std::uint32_t>(slots[i].value);
      if (tensors_.contains(moe + ".experts.gate_up_proj_bias")) {
        fused(w.moe.experts[i], moe + ".experts.", expert);
      } else {
        mlp(w.moe.experts[i], moe + ".experts." + std::to_string(expert), {names_.gate, names_.up, names_.down});
      }
    }
  }

  void grouped(const model::GqaWeights& w, const std::string& name) {
    linear(w.q, name + ".q_proj");
    linear(w.k, name + ".k_proj");
    linear(w.v, name + ".v_proj");
    linear(w.out, name + ".o_proj");
    optional_floats(w.q_bias, w.q.n, name + ".q_proj.bias");
    optional_floats(w.k_bias, w.k.n, name + ".k_proj.bias");
    optional_floats(w.v_bias, w.v.n, name + ".v_proj.bias");
    optional_floats(w.out_bias, c_.hidden, name + ".o_proj.bias");
    optional_floats(w.q_norm, 0, name + ".q_norm.weight");
    optional_floats(w.k_norm, 0, name + ".k_norm.weight");
    optional_floats(w.sinks, 0, name + ".sinks");
  }

  void latent(const model::MlaWeights& w, const std::string& name) {
    const model::Mla& a = c_.mla;
    if (a.q_lora_rank == 0) {
      linear(w.q, name + ".q_proj");
    } else {
      linear(w.q_a, name + ".q_a_proj");
      floats(w.q_a_norm, a.q_lora_rank, name + ".q_a_layernorm.weight");
      linear(w.q_b, name + ".q_b_proj");
    }
    linear(w.kv_a, name + ".kv_a_proj_with_mqa");
    floats(w.kv_a_norm, a.kv_lora_rank, name + ".kv_a_layernorm.weight");
    linear(w.out, name + ".o_proj");
    const Decoded& kv_b = matrix(name + ".kv_b_proj.weight");
    for (std::uint32_t h = 0; h < a.heads; ++h) {
      for (std::uint32_t latent = 0; latent < a.kv_lora_rank; ++latent) {
        auto source = [&](std::uint32_t row) { return kv_b(h * (a.qk_nope_dim + a.v_dim) + row, latent); };
        for (std::uint32_t i = 0; i < a.qk_nope_dim; ++i) {
          same(packed_at(w.key_up[h], latent, i), source(i));
          same(packed_at(w.key_absorb[h], i, latent), source(i));
        }
        for (std::uint32_t i = 0; i < a.v_dim; ++i) {
          same(packed_at(w.value_up[h], latent, i), source(a.qk_nope_dim + i));
        }
      }
    }
  }

  void mlp(const model::MlpWeights& w, const std::string& name, const std::array<std::string, 3>& parts) {
    const Decoded& gate = matrix(name + "." + parts[0] + ".weight");
    const Decoded& up = matrix(name + "." + parts[1] + ".weight");
    REQUIRE(gate.rows == w.width);
    columns(w, gate, up);
    linear(w.down, name + "." + parts[2]);
    CHECK_FALSE(w.gate_up_bias);
    CHECK_FALSE(w.down_bias);
  }

  // gpt-oss: gate and up alternate; unquantised numbers are stored input first, MXFP4 output first.
  void fused(const model::MlpWeights& w, const std::string& name, std::uint32_t expert) {
    const bool mxfp4 = tensors_.contains(name + "gate_up_proj_blocks");
    const Decoded &gate_up = matrix(name + "gate_up_proj"), &down = matrix(name + "down_proj");
    auto value = [&](const Decoded& m, std::uint64_t out, std::uint64_t in) {
      return mxfp4 ? m(out, in, expert) : m(in, out, expert);
    };
    columns(
        w, [&](std::uint64_t j, std::uint64_t i) { return value(gate_up, 2 * j, i); },
        [&](std::uint64_t j, std::uint64_t i) { return value(gate_up, 2 * j + 1, i); });
    for (std::uint32_t j = 0; j < c_.hidden; ++j) {
      for (std::uint32_t i = 0; i < w.width; ++i) same(packed_at(w.down, i, j), value(down, j, i));
    }
    REQUIRE(w.gate_up_bias.size == w.gate_up.n);
    REQUIRE(w.down_bias.size == c_.hidden);
    const RawTensor& bias = at(name + "gate_up_proj_bias");
    for (std::uint32_t j = 0; j < w.up_offset; ++j) {
      const std::size_t gate = (std::size_t{expert} * w.width + j) * 2;
      same(w.gate_up_bias.data[j], j < w.width ? float_at(bias, gate) : 0.0f);
      if (j < w.width) same(w.gate_up_bias.data[w.up_offset + j], float_at(bias, gate + 1));
    }
    for (std::size_t j = 0; j < c_.hidden; ++j) {
      same(w.down_bias.data[j], float_at(at(name + "down_proj_bias"), expert * c_.hidden + j));
    }
  }

  template <class Gate, class Up>
  void columns(const model::MlpWeights& w, const Gate& gate, const Up& up) {
    REQUIRE(w.up_offset % 32 == 0);
    REQUIRE(w.up_offset >= w.width);
    REQUIRE(w.gate_up.n == w.up_offset + w.width);
    for (std::uint32_t i = 0; i < w.gate_up.k; ++i) {
      for (std::uint32_t j = 0; j < w.up_offset; ++j) {
        same(packed_at(w.gate_up, i, j), j < w.width ? gate(j, i) : bf16{0});
        if (j < w.width) same(packed_at(w.gate_up, i, w.up_offset + j), up(j, i));
      }
    }
  }

  void linear(const cpu::Matrix& w, const std::string& name) {
    const Decoded& m = matrix(name + ".weight");
    REQUIRE(m.rows == w.n);
    REQUIRE(m.columns == w.k);
    for (std::uint32_t j = 0; j < w.n; ++j) {
      for (std::uint32_t i = 0; i < w.k; ++i) same(packed_at(w, i, j), m(j, i));
    }
  }

  // count 0: any number of values.
  void floats(Vector<const float> w, std::uint64_t count, const std::string& name) {
    const RawTensor& t = at(name);
    REQUIRE(w);
    REQUIRE(w.size == t.shape.back());
    if (count > 0) REQUIRE(w.size == count);
    for (std::size_t i = 0; i < w.size; ++i) same(w.data[i], float_at(t, i));
  }
  void optional_floats(Vector<const float> w, std::uint64_t count, const std::string& name) {
    if (tensors_.contains(name)) return floats(w, count, name);
    CHECK_MESSAGE(!w, name);
  }

  // A tensor as bf16 matrices.
  struct Decoded {
    std::uint64_t rows, columns;
    std::vector<bf16> values;
    bf16 operator()(std::uint64_t row, std::uint64_t column, std::uint64_t index = 0) const {
      return values[(index * rows + row) * columns + column];
    }
  };

  // A router that is stored in fp32 is three matrices, whose sum is compared.
  void router(const model::MoeWeights& w, const std::string& name) {
    const RawTensor& t = at(name + ".weight");
    if (t.dtype != "F32") return linear(w.router, name);
    for (std::uint32_t j = 0; j < w.router.n; ++j) {
      for (std::uint32_t i = 0; i < w.router.k; ++i) {
        float sum = to_float(packed_at(w.router, i, j));
        for (const cpu::Matrix& rest : w.router_rest) sum += to_float(packed_at(rest, i, j));
        same(sum, float_at(t, std::size_t{j} * w.router.k + i));
      }
    }
  }

  const Decoded& matrix(const std::string& name) {
    auto [known, fresh] = decoded_.try_emplace(name);
    Decoded& d = known->second;
    if (!fresh) return d;
    if (tensors_.contains(name + "_blocks")) {
      const RawTensor &blocks = at(name + "_blocks"), &scales = at(name + "_scales");
      d = {blocks.shape[1], blocks.shape[2] * 32, {}};
      for (std::size_t i = 0; i < blocks.bytes.size() * 2; ++i) {
        const auto byte = static_cast<std::uint8_t>(blocks.bytes[i / 2]);
        const auto nibble = static_cast<std::uint8_t>(i % 2 == 0 ? byte & 15 : byte >> 4);
        const auto scale = static_cast<std::uint8_t>(scales.bytes[i / 32]);
        d.values.push_back(to_bf16(static_cast<float>(mxfp4_value(nibble, scale))));
      }
      return d;
    }
    const RawTensor& t = at(name);
    d = {t.shape[t.shape.size() - 2], t.shape.back(), {}};
    for (std::size_t i = 0; i < d.rows * d.columns * (t.shape.size() == 3 ? t.shape[0] : 1); ++i) {
      d.values.push_back(t.dtype == "F8_E4M3" ? fp8_at(t, i) : to_bf16(float_at(t, i)));
    }
    return d;
  }

  bf16 fp8_at(const RawTensor& t, std::size_t i) {
    const bool inverse = tensors_.contains(t.name + "_scale_inv");
    const RawTensor& scales = at(t.name + (inverse ? "_scale_inv" : "_scale"));
    const float code = e4m3_value(static_cast<std::uint8_t>(t.bytes[i]));
    if (scales.bytes.size() <= 4) return to_bf16(code * float_at(scales, 0));
    const bool by_row = scales.shape[0] == t.shape[0] && (scales.shape.size() == 1 || scales.shape[1] == 1);
    if (by_row) return to_bf16(code * float_at(scales, i / t.shape[1]));
    const std::size_t row = i / t.shape[1] / c_.quantization.block_rows;
    const std::size_t column = i % t.shape[1] / c_.quantization.block_columns;
    return to_bf16(code * float_at(scales, row * scales.shape[1] + column));
  }

  static float float_at(const RawTensor& t, std::size_t i) {
    if (t.dtype == "BF16") return to_float(bf16_at(t, i));
    REQUIRE(t.dtype == "F32");
    float x;
    std::memcpy(&x, t.bytes.data() + 4 * i, 4);
    return x;
  }

  void same(bf16 got, bf16 wanted) {
    ++compared;
    wrong += got != wanted;
  }
  void same(float got, float wanted) {
    ++compared;
    wrong += got != wanted;
  }

  const RawTensor& at(const std::string& name) {
    auto found = tensors_.find(name);
    REQUIRE_MESSAGE(found != tensors_.end(), name);
    used_.insert(name);
    return found->second;
  }

  const ModelConfig& c_;
  Names names_;
  std::map<std::string, RawTensor> tensors_;
  std::map<std::string, Decoded> decoded_;
  std::set<std::string> used_;
};

}  // namespace moemill::test
