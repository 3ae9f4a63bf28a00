// The loader over a second layout: plain row-major fp32 matrices, filled by the same walk with the same values as the
// CPU's packed matrices.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <variant>
#include <vector>

#include "model/folders.hpp"
#include "support/placements.hpp"
#include "weights/cpu/weights.hpp"
#include "weights/load.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

struct PlainMatrix {
  using Space = Host;
  float* values = nullptr;  // [k, n]
  std::uint32_t k = 0, n = 0;
};

class PlainLayout {
 public:
  using Matrix = PlainMatrix;
  struct Place {
    MatrixIndex index;
    Matrix matrix;
  };
  static constexpr std::uint32_t columns_step = 5;  // unlike any panel of the CPU
  static constexpr std::uint32_t int8_inputs = 32;

  PlainLayout with_memory(std::byte* memory) const {
    PlainLayout out;
    out.memory_ = memory;
    return out;
  }

  template <class T>
  Vector<T> take(std::uint64_t count) {
    const std::uint64_t at = used_;
    used_ += round_up<std::uint64_t>(count * sizeof(T), alignof(std::max_align_t));
    return {memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + at), count};
  }
  Place take(std::uint32_t k, std::uint32_t n) {
    matrices_.push_back({take<float>(std::uint64_t{k} * n).data, k, n});
    return {static_cast<MatrixIndex>(matrices_.size() - 1), matrices_.back()};
  }
  Place take(std::uint32_t k, std::uint32_t n, std::span<const StoredRows>) { return take(k, n); }
  Place take_int8(std::uint32_t k, std::uint32_t n) { return take(k, n); }

  void put(const RowsPiece& piece, const ReadRows& rows) const {
    if (piece.table != nullptr) std::copy_n(rows.values, piece.rows * piece.columns, piece.table);
    for (std::uint32_t d = 0; d < piece.destination_count; ++d) {
      const Destination& to = piece.destinations[d];
      const PlainMatrix& w = matrices_[to.matrix];
      for (std::uint32_t i = 0; i < to.inputs; ++i) {
        for (std::uint32_t j = 0; j < to.columns; ++j) {
          w.values[std::size_t{to.first_input + i} * w.n + to.first_column + j] =
              to_float(rows.values[to.offset + j * to.column_stride + i * to.input_stride]);
        }
      }
    }
  }
  void put(const FloatsPiece& piece, const float* values) const {
    for (std::uint64_t i = 0; i < piece.count; ++i) piece.out[i] = values[i * piece.step];
  }

  std::uint64_t bytes() const { return used_; }

 private:
  std::byte* memory_ = nullptr;
  std::uint64_t used_ = 0;
  std::vector<PlainMatrix> matrices_;
};

// Counts values that differ between the two layouts.
struct Differences {
  std::uint64_t compared = 0, wrong = 0;

  void same(float left, float right) { ++compared, wrong += left != right; }
  void columns(const PlainMatrix& a, std::uint32_t first_a, const cpu::Matrix& b, std::uint32_t first_b,
               std::uint32_t count) {
    REQUIRE(a.k == b.k);
    for (std::uint32_t i = 0; i < a.k; ++i) {
      for (std::uint32_t j = 0; j < count; ++j) {
        same(a.values[std::size_t{i} * a.n + first_a + j], to_float(packed_at(b, i, first_b + j)));
      }
    }
  }
  void matrix(const PlainMatrix& a, const cpu::Matrix& b) {
    REQUIRE(a.n == b.n);
    columns(a, 0, b, 0, a.n);
  }
  void matrices(const std::vector<PlainMatrix>& a, const std::vector<cpu::Matrix>& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) matrix(a[i], b[i]);
  }
  void vector(Vector<const float> a, Vector<const float> b) {
    REQUIRE(a.size == b.size);
    for (std::size_t i = 0; i < a.size; ++i) same(a.data[i], b.data[i]);
  }

  void mlp(const MlpWeightsOf<PlainMatrix>& a, const MlpWeights& b) {
    REQUIRE(a.width == b.width);
    if (a.width == 0) return;
    CHECK(a.up_offset == round_up(a.width, PlainLayout::columns_step));
    columns(a.gate_up, 0, b.gate_up, 0, a.width);
    columns(a.gate_up, a.up_offset, b.gate_up, b.up_offset, a.width);
    matrix(a.down, b.down);
    REQUIRE(bool(a.gate_up_bias) == bool(b.gate_up_bias));
    if (a.gate_up_bias) {
      vector(a.gate_up_bias.range(0, a.width), b.gate_up_bias.range(0, a.width));
      vector(a.gate_up_bias.range(a.up_offset, a.width), b.gate_up_bias.range(b.up_offset, a.width));
    }
    vector(a.down_bias, b.down_bias);
  }
  void attention(const MlaWeightsOf<PlainMatrix>& a, const MlaWeights& b) {
    matrix(a.q, b.q), matrix(a.q_a, b.q_a), matrix(a.q_b, b.q_b), matrix(a.kv_a, b.kv_a), matrix(a.out, b.out);
    matrices(a.key_up, b.key_up), matrices(a.value_up, b.value_up), matrices(a.key_absorb, b.key_absorb);
    vector(a.q_a_norm, b.q_a_norm);
    vector(a.kv_a_norm, b.kv_a_norm);
  }
  void attention(const GqaWeightsOf<PlainMatrix>& a, const GqaWeights& b) {
    matrix(a.q, b.q), matrix(a.k, b.k), matrix(a.v, b.v), matrix(a.out, b.out);
    vector(a.q_bias, b.q_bias), vector(a.k_bias, b.k_bias), vector(a.v_bias, b.v_bias);
    vector(a.out_bias, b.out_bias);
    vector(a.q_norm, b.q_norm), vector(a.k_norm, b.k_norm), vector(a.sinks, b.sinks);
  }
  void layer(const LayerWeightsOf<PlainMatrix>& a, const LayerWeights& b, const ModelConfig& c) {
    vector(a.attention_norm, b.attention_norm), vector(a.mlp_norm, b.mlp_norm);
    if (c.attention == AttentionKind::Latent) {
      attention(std::get<0>(a.attention), std::get<0>(b.attention));
    } else {
      attention(std::get<1>(a.attention), std::get<1>(b.attention));
    }
    mlp(a.dense, b.dense), mlp(a.moe.shared, b.moe.shared);
    matrix(a.moe.router, b.moe.router);
    for (std::size_t i = 0; i < 2; ++i) matrix(a.moe.router_rest[i], b.moe.router_rest[i]);
    vector(a.moe.router_bias, b.moe.router_bias);
    vector(a.moe.selection_bias, b.moe.selection_bias);
    vector(a.moe.shared_gate, b.moe.shared_gate);
    REQUIRE(a.moe.experts.size() == b.moe.experts.size());
    for (std::size_t i = 0; i < a.moe.experts.size(); ++i) mlp(a.moe.experts[i], b.moe.experts[i]);
  }
};

}  // namespace

TEST_CASE("layouts: a second layout is filled by the same walk, with the same values and the same digest") {
  const std::string load_format = "auto";
  ThreadTeam team(2);
  for (const char* name :
       {"deepseek_v3_fp8", "deepseek_v2_lite", "glm4_moe", "qwen2_moe", "mixtral", "gpt_oss", "gpt_oss_mxfp4"}) {
    CAPTURE(name);
    const std::string dir = (models / name).string();
    const ModelConfig c = read_config(dir);
    const Placement placement = placement_for(c, 2, Spread::SomeTwice);
    Differences differences;
    for (const DomainRank rank : {DomainRank{0}, DomainRank{1}}) {
      const Weights packed = load_weights(dir, c, placement, rank, load_format);
      const auto plain = load({dir, c, placement, rank, load_format}, PlainLayout(), team, [] {});
      CHECK(plain.bytes == measure<PlainLayout>(c, placement, rank));
      CHECK(plain.digest.replicated == packed.digest.replicated);
      CHECK(plain.digest.experts == packed.digest.experts);
      CHECK(plain.digest.copies == packed.digest.copies);
      CHECK(std::memcmp(plain.embedding.data, packed.embedding.data,
                        std::size_t{c.vocabulary} * c.hidden * sizeof(bf16)) == 0);
      differences.matrix(plain.head, packed.head);
      differences.vector(plain.final_norm, packed.final_norm);
      REQUIRE(plain.layers.size() == packed.layers.size());
      for (std::size_t l = 0; l < plain.layers.size(); ++l) differences.layer(plain.layers[l], packed.layers[l], c);
    }
    CHECK(differences.wrong == 0);
    CHECK(differences.compared > 400000);
  }
}
