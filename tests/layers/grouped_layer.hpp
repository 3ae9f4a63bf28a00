// A layer of grouped-query attention with weights made up from seeds, and sequences that walk through it: what the
// tests of grouped attention work with.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/numbers/random.hpp"
#include "layers/on_cpu.hpp"

namespace moemill::test {

using model::QkNorm;
using schedule::page_groups;
using schedule::page_tokens;
using schedule::RowKind;
using schedule::Step;
using namespace layers;

constexpr std::uint32_t gqa_hidden = 48;
constexpr std::int32_t gqa_pages = 16;  // of each group

inline float value_at(std::uint64_t key, std::uint64_t i) {
  return static_cast<float>(philox(key, i)[0]) * 0x1p-31f - 1.0f;
}

inline std::vector<float> vector_of(std::uint64_t key, std::size_t count, float around, float spread) {
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = around + spread * value_at(key, i);
  return out;
}

// [out, in] as a weight file has it, and packed.
template <class On>
struct GqaMatrix {
  std::uint32_t in, out;
  std::vector<bf16> plain;
  typename On::Packed packed;

  GqaMatrix(std::uint64_t key, std::uint32_t in_, std::uint32_t out_)
      : in(in_), out(out_), plain(values(key, in_, out_)), packed(in_, out_, plain) {}
  static std::vector<bf16> values(std::uint64_t key, std::uint32_t in, std::uint32_t out) {
    std::vector<bf16> all;
    for (float x : vector_of(key, std::size_t{in} * out, 0, 2.0f / std::sqrt(static_cast<float>(in)))) {
      all.push_back(to_bf16(x));
    }
    return all;
  }
  auto view() const { return packed.view(); }
  std::vector<double> times(const std::vector<double>& x, const std::vector<float>& bias) const {
    std::vector<double> y(out);
    for (std::size_t o = 0; o < out; ++o) {
      y[o] = bias.empty() ? 0.0 : double{bias[o]};
      for (std::size_t i = 0; i < in; ++i) y[o] += to_float(plain[o * in + i]) * x[i];
    }
    return y;
  }
};

struct GqaOptions {
  const char* name;
  std::uint32_t heads, kv_heads, head_dim, rope_dim;
  RotaryPairs pairs = RotaryPairs::Halves;
  bool biases = false, sinks = false;
  QkNorm norm = QkNorm::None;
  float clip = 0;
  std::uint32_t window = 0;
};

inline const std::vector<GqaOptions> gqa_options = {
    {"plain", 4, 2, 16, 16},
    {"every head its own keys", 5, 5, 20, 20},
    {"one for all", 16, 1, 24, 24},
    {"half of a head rotates", 6, 2, 24, 12},
    {"a head of odd width", 6, 3, 13, 6},
    {"adjacent pairs", 4, 2, 8, 4, RotaryPairs::Adjacent},
    {"biases", 6, 2, 24, 24, RotaryPairs::Halves, true},
    {"norm of a head", 6, 2, 24, 24, RotaryPairs::Halves, false, false, QkNorm::PerHead},
    {"norm of all heads, clipped", 3, 3, 32, 32, RotaryPairs::Halves, true, false, QkNorm::AllHeads, 0.8f},
    {"sinks", 8, 1, 80, 80, RotaryPairs::Halves, false, true},
    {"window of 24", 10, 2, 8, 8, RotaryPairs::Halves, false, false, QkNorm::None, 0, 24},
    {"window of 128, sinks, biases", 8, 2, 64, 64, RotaryPairs::Halves, true, true, QkNorm::None, 0, 128},
    {"window of 1", 4, 2, 16, 16, RotaryPairs::Halves, false, true, QkNorm::None, 0, 1},
};

// A layer's weights; layer 0 of the model sees everything, layer 1 its window.
template <class On>
struct GqaLayer {
  GqaOptions options;
  model::ModelConfig config;
  std::uint32_t width, kv_width;
  GqaMatrix<On> q, k, v, out;
  std::vector<float> q_bias, k_bias, v_bias, out_bias, q_norm, k_norm, sinks;
  model::LayerWeightsOf<typename On::Backend::Matrix> layer_weights;

  explicit GqaLayer(const GqaOptions& o)
      : options(o),
        width(o.heads * o.head_dim),
        kv_width(o.kv_heads * o.head_dim),
        q(1, gqa_hidden, width),
        k(2, gqa_hidden, kv_width),
        v(3, gqa_hidden, kv_width),
        out(4, width, gqa_hidden) {
    config.hidden = gqa_hidden;
    config.layers = 2;
    config.moe.experts = 1;
    config.moe.picks = 1;
    config.attention = model::AttentionKind::Grouped;
    config.gqa = {.heads = o.heads,
                  .kv_heads = o.kv_heads,
                  .head_dim = o.head_dim,
                  .softmax_scale = 1.0f / std::sqrt(static_cast<float>(o.head_dim)),
                  .qkv_bias = o.biases,
                  .out_bias = o.biases,
                  .sinks = o.sinks,
                  .qk_norm = o.norm,
                  .clip = o.clip,
                  .window = o.window,
                  .layer_has_window = {}};
    if (o.window) config.gqa.layer_has_window = {false, true};
    config.rope.dim = o.rope_dim;
    config.rope.pairs = o.pairs;
    for (std::uint32_t i = 0; i < o.rope_dim / 2; ++i)
      config.rope.frequencies.push_back(1.0f / static_cast<float>(1 + 3 * i));
    auto& weights = layer_weights.attention.template emplace<model::GqaWeightsOf<typename On::Backend::Matrix>>();
    weights.q = q.view(), weights.k = k.view(), weights.v = v.view(), weights.out = out.view();
    const auto fill = [](std::vector<float>& to, Vector<const float>& view, std::uint64_t key, std::size_t count,
                         float around) {
      to = vector_of(key, count, around, 0.5f);
      view = {to.data(), to.size()};
    };
    if (o.biases) {
      fill(q_bias, weights.q_bias, 5, width, 0), fill(k_bias, weights.k_bias, 6, kv_width, 0);
      fill(v_bias, weights.v_bias, 7, kv_width, 0), fill(out_bias, weights.out_bias, 8, gqa_hidden, 0);
    }
    if (o.norm != QkNorm::None) {
      const bool all = o.norm == QkNorm::AllHeads;
      fill(q_norm, weights.q_norm, 9, all ? width : o.head_dim, 1);
      fill(k_norm, weights.k_norm, 10, all ? kv_width : o.head_dim, 1);
    }
    if (o.sinks) fill(sinks, weights.sinks, 11, o.heads, 1);
  }
  LayerId id() const { return {options.window ? 1 : 0}; }
  schedule::PageGroup group() const { return options.window ? schedule::PageGroup::Window : schedule::PageGroup::Full; }
};

inline std::vector<float> rows_of(std::uint64_t key, std::size_t tokens) {
  return vector_of(key, tokens * gqa_hidden, 0, 1.5f);
}

// One rank's attention layer, its cache, and sequences that walk through it.
template <class On>
struct GqaBench {
  using Backend = typename On::Backend;
  using Stream = typename Backend::Stream;

  const GqaLayer<On>& layer;
  typename Backend::KvCache cache;
  RopeTable rope;
  typename Backend::Attention attention;

  GqaBench(const GqaLayer<On>& l, Stream& stream)
      : layer(l), cache(l.config, {gqa_pages, gqa_pages}), rope(l.config.rope), attention(stream, l.config, cache) {}

  // out: [rows, hidden] of the step's segments [first, first + count).
  void run(const Step& step, std::size_t first, std::size_t count, const float* rows, float* out) {
    AttentionPlan plan;
    plan_attention(step, std::span(step.segments).subspan(first, count), rope, plan);
    typename Backend::Attention::Work work;
    attention.prepare(plan, work);
    const std::size_t from = plan.first_row * gqa_hidden;
    attention.run(layer.layer_weights, layer.id(), work, {}, {rows + from, plan.rows, gqa_hidden},
                  {out + from, plan.rows, gqa_hidden});
  }
};

// Where a sequence's positions lie: pages of the two groups.
struct GqaPlaces {
  std::array<std::vector<PageId>, page_groups> pages;
  explicit GqaPlaces(std::size_t tokens, std::int32_t first = 0, std::int32_t stride = 1) {
    for (std::size_t p = 0; p * page_tokens < tokens; ++p) {
      const auto i = static_cast<std::int32_t>(p);
      pages[0].push_back({(first + i * stride) % gqa_pages});
      pages[1].push_back({(first + 5 + i * stride) % gqa_pages});
    }
  }
};

inline void add(Step& step, RowKind kind, std::uint32_t first, std::uint32_t rows, const GqaPlaces& places) {
  step.segments.push_back({kind, step.rows(), rows, first, static_cast<std::uint32_t>(step.pages[0].size()),
                           static_cast<std::uint32_t>(places.pages[0].size())});
  for (std::size_t g = 0; g < page_groups; ++g) {
    step.pages[g].insert(step.pages[g].end(), places.pages[g].begin(), places.pages[g].end());
  }
  for (std::uint32_t i = 0; i < rows; ++i) {
    step.tokens.push_back(0);
    step.positions.push_back(first + i);
  }
}

// The whole sequence in chunks, one step each.
template <class On>
std::vector<float> attend(GqaBench<On>& bench, const std::vector<float>& rows, std::uint32_t chunk, RowKind kind,
                          const GqaPlaces& places) {
  const auto tokens = static_cast<std::uint32_t>(rows.size() / gqa_hidden);
  std::vector<float> out(rows.size());
  for (std::uint32_t first = 0; first < tokens; first += chunk) {
    Step step;
    add(step, kind, first, std::min(chunk, tokens - first), places);
    bench.run(step, 0, 1, rows.data() + first * gqa_hidden, out.data() + first * gqa_hidden);
  }
  return out;
}

inline bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// [rows, keys then values] as cached.
template <class On>
std::vector<std::vector<float>> cached(const GqaBench<On>& bench, const GqaPlaces& places, std::size_t tokens) {
  std::vector<std::vector<float>> out(tokens, std::vector<float>(bench.cache.width()));
  const auto& on = places.pages[static_cast<std::size_t>(bench.layer.group())];
  for (std::uint32_t t = 0; t < tokens; ++t) {
    bench.cache.read(bench.layer.id(), token_slot(on[t / page_tokens], t), out[t].data());
  }
  return out;
}

}  // namespace moemill::test
