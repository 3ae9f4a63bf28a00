// A layer of latent attention with weights made up from seeds: what the tests of its two forms work with.
#pragma once

#include <span>
#include <vector>

#include "layers/grouped_layer.hpp"

namespace moemill::test {

inline std::vector<bf16> transposed(const std::vector<bf16>& values, std::size_t rows, std::size_t columns) {
  std::vector<bf16> out;
  for (std::size_t j = 0; j < columns; ++j) {
    for (std::size_t i = 0; i < rows; ++i) out.push_back(values[i * columns + j]);
  }
  return out;
}

// One layer with weights made up from seeds.
struct LatentLayer {
  static constexpr std::uint32_t hidden = gqa_hidden, latent = 40, nope = 10, rope = 6, v_width = 12;

  model::ModelConfig config;
  std::vector<OnCpu::Packed> matrices;
  std::vector<float> norm = vector_of(9, latent, 1, 0.5f);
  model::LayerWeights layer_weights;

  explicit LatentLayer(std::uint32_t heads) {
    config.hidden = hidden, config.layers = 1, config.moe.experts = 1, config.moe.picks = 1;
    config.attention = model::AttentionKind::Latent;
    config.mla.heads = heads, config.mla.kv_lora_rank = latent, config.mla.v_dim = v_width;
    config.mla.qk_nope_dim = nope, config.mla.qk_rope_dim = rope, config.mla.softmax_scale = 0.25f;
    config.rope.dim = rope;
    for (std::uint32_t i = 0; i < rope / 2; ++i)
      config.rope.frequencies.push_back(1.0f / static_cast<float>(1 + 3 * i));
    auto& weights = layer_weights.attention.emplace<model::MlaWeights>();
    weights.kv_a_norm = {norm.data(), norm.size()};
    weights.q = matrix(hidden, heads * (nope + rope), GqaMatrix<OnCpu>::values(1, hidden, heads * (nope + rope)));
    weights.kv_a = matrix(hidden, latent + rope, GqaMatrix<OnCpu>::values(2, hidden, latent + rope));
    weights.out = matrix(heads * v_width, hidden, GqaMatrix<OnCpu>::values(3, heads * v_width, hidden));
    for (std::uint32_t h = 0; h < heads; ++h) {
      const std::vector<bf16> up = GqaMatrix<OnCpu>::values(100 + h, latent, nope);
      weights.key_up.push_back(matrix(latent, nope, up));
      weights.key_absorb.push_back(matrix(nope, latent, transposed(up, nope, latent)));
      weights.value_up.push_back(matrix(latent, v_width, GqaMatrix<OnCpu>::values(500 + h, latent, v_width)));
    }
  }

 private:
  // The packed values stay where they are when `matrices` grows.
  cpu::Matrix matrix(std::uint32_t k, std::uint32_t n, const std::vector<bf16>& values) {
    return matrices.emplace_back(k, n, values).view();
  }
};

// One rank's attention layer and its cache.
struct LatentBench {
  static constexpr std::uint32_t hidden = LatentLayer::hidden;

  const LatentLayer& layer;
  cpu::KvCache cache;
  RopeTable rope_table;
  cpu::Attention attention;

  LatentBench(const LatentLayer& l, cpu::Stream& stream, std::uint32_t pages = gqa_pages)
      : layer(l), cache(l.config, {pages, 0}), rope_table(l.config.rope), attention(stream, l.config, cache) {}

  // [rows, hidden] of a step.
  std::vector<float> run(const Step& step, const std::vector<bf16>& rows) { return run(step, step.segments, rows); }
  // The same of its `segments`, which are consecutive ones, or a part of one.
  std::vector<float> run(const Step& step, std::span<const schedule::Segment> segments, const std::vector<bf16>& rows) {
    AttentionPlan plan;
    plan_attention(step, segments, rope_table, plan);
    cpu::Attention::Work work;
    attention.prepare(plan, work);
    std::vector<float> out(plan.rows * hidden);
    attention.run(layer.layer_weights, {0}, work, {rows.data() + plan.first_row * hidden, plan.rows, hidden}, {},
                  {out.data(), plan.rows, hidden});
    return out;
  }
};

// Rows of a sequence on pages of the first group, which cover its positions.
inline void add(Step& step, RowKind kind, std::uint32_t first, std::uint32_t rows, const std::vector<PageId>& pages) {
  step.segments.push_back({kind, step.rows(), rows, first, static_cast<std::uint32_t>(step.pages[0].size()),
                           static_cast<std::uint32_t>(pages.size())});
  step.pages[0].insert(step.pages[0].end(), pages.begin(), pages.end());
  for (std::uint32_t i = 0; i < rows; ++i) {
    step.tokens.push_back(0);
    step.positions.push_back(first + i);
  }
}

inline std::vector<bf16> rounded(const std::vector<float>& values) {
  std::vector<bf16> out;
  for (float x : values) out.push_back(to_bf16(x));
  return out;
}

}  // namespace moemill::test
