// Latent attention with more heads than a tile of the absorbed form has lanes: the models of the other tests have six
// heads, the large ones of the family 128.
#include <doctest/doctest.h>

#include "layers/goldens.hpp"
#include "layers/grouped_layer.hpp"

using namespace moemill;
using namespace moemill::test;

namespace {

constexpr std::uint32_t hidden = gqa_hidden, latent = 40, nope = 10, rope = 6, v_width = 12;

std::vector<bf16> transposed(const std::vector<bf16>& values, std::size_t rows, std::size_t columns) {
  std::vector<bf16> out;
  for (std::size_t j = 0; j < columns; ++j) {
    for (std::size_t i = 0; i < rows; ++i) out.push_back(values[i * columns + j]);
  }
  return out;
}

// One layer with weights made up from seeds.
struct LatentLayer {
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

struct LatentBench {
  const LatentLayer& layer;
  cpu::KvCache cache;
  RopeTable rope_table;
  cpu::Attention attention;

  LatentBench(const LatentLayer& l, cpu::Stream& stream)
      : layer(l), cache(l.config, {gqa_pages, 0}), rope_table(l.config.rope), attention(stream, l.config, cache) {}

  // [rows, hidden] of a step.
  std::vector<float> run(const Step& step, const std::vector<bf16>& rows) {
    AttentionPlan plan;
    plan_attention(step, step.segments, rope_table, plan);
    cpu::Attention::Work work;
    attention.prepare(plan, work);
    std::vector<float> out(plan.rows * hidden);
    attention.run(layer.layer_weights, {0}, work, {rows.data(), plan.rows, hidden}, {},
                  {out.data(), plan.rows, hidden});
    return out;
  }
};

std::vector<bf16> rounded(const std::vector<float>& values) {
  std::vector<bf16> out;
  for (float x : values) out.push_back(to_bf16(x));
  return out;
}

}  // namespace

TEST_CASE("latent attention of many heads: both forms agree, and threads, bodies and neighbours change no bit") {
  constexpr std::uint32_t tokens = 130;
  const auto rows = rounded(rows_of(20, tokens));
  const GqaPlaces places(tokens), elsewhere(tokens, 7, 3);
  // Tiles of 32 heads: the last one of 8 heads or of 18, and more tiles than take in a page together.
  for (std::uint32_t heads : {40u, 50u, 136u}) {
    CAPTURE(heads);
    const LatentLayer layer(heads);
    cpu::Stream plain(cpu::Isa::Plain);
    LatentBench bench(layer, plain);
    Step prompt, generated, both;
    add(prompt, RowKind::Prompt, 0, tokens, places);
    add(generated, RowKind::Generated, 0, tokens, places);
    const std::vector<float> expanded = bench.run(prompt, rows), absorbed = bench.run(generated, rows);
    // They round nothing and differ by fp32 sums alone, here of some hundred terms.
    CHECK(rms_difference(expanded, absorbed) / rms(expanded) < 100 * 0x1p-24);

    // Two sequences, which together have more rows than are computed at a time.
    add(both, RowKind::Generated, 0, tokens, elsewhere);
    add(both, RowKind::Generated, 0, tokens, places);
    std::vector<bf16> rows_of_both = rows;
    rows_of_both.insert(rows_of_both.end(), rows.begin(), rows.end());
    std::vector<float> twice = absorbed;
    twice.insert(twice.end(), absorbed.begin(), absorbed.end());
    for (const auto& [isa, threads] : {std::pair{cpu::Isa::Avx2, 1},
                                       {cpu::Isa::Avx2, 2},
                                       {cpu::Isa::Avx512, 3},
                                       {cpu::Isa::Avx512, 7},
                                       {cpu::Isa::Avx512Bf16, 2}}) {
      if (!cpu::available(isa)) continue;
      cpu::Stream stream(isa, threads);
      LatentBench other(layer, stream);
      CHECK(same(other.run(both, rows_of_both), twice));
      // A row alone, of whose tiles threads have a share each.
      Step last;
      add(last, RowKind::Generated, tokens - 1, 1, places);
      CHECK(same(other.run(last, {rows.end() - hidden, rows.end()}), {absorbed.end() - hidden, absorbed.end()}));
    }
  }
}
