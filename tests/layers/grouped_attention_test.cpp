// Grouped-query attention against a plain one in double precision, with every option that a model may have; and what
// must not matter: threads, instruction set, chunks, kinds of rows, neighbours, the order of pages, pages given back.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.hpp"
#include "layers/goldens.hpp"
#include "layers/grouped_layer.hpp"

using namespace moemill;
using namespace moemill::layers;
using namespace moemill::test;
using schedule::Segment;

namespace {

// What comes before the cache, in double: queries, keys, values of one row.
struct Projected {
  std::vector<double> query, key, value;
};
template <class On>
void norm_clip_rotate(const GqaLayer<On>& l, std::vector<double>& x, const std::vector<float>& norm,
                      std::uint32_t position) {
  const std::size_t dim = l.options.head_dim, width = l.options.norm == QkNorm::AllHeads ? x.size() : dim;
  for (std::size_t h = 0; !norm.empty() && h < x.size(); h += width) {
    double squares = 0;
    for (std::size_t d = 0; d < width; ++d) squares += x[h + d] * x[h + d];
    const double factor = 1 / std::sqrt(squares / static_cast<double>(width) + double{l.config.norm_eps});
    for (std::size_t d = 0; d < width; ++d) x[h + d] *= factor * norm[d];
  }
  if (l.options.clip > 0) {
    for (double& y : x) y = std::clamp(y, -double{l.options.clip}, double{l.options.clip});
  }
  const std::size_t half = l.options.rope_dim / 2;
  for (std::size_t h = 0; h < x.size(); h += dim) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<float>(position) * l.config.rope.frequencies[i];
      const bool halves = l.options.pairs == RotaryPairs::Halves;
      double &a = x[h + (halves ? i : 2 * i)], &b = x[h + (halves ? i + half : 2 * i + 1)];
      const double turned = a * std::cos(angle) - b * std::sin(angle);
      b = b * std::cos(angle) + a * std::sin(angle);
      a = turned;
    }
  }
}
template <class On>
Projected project(const GqaLayer<On>& l, const float* row, std::uint32_t position) {
  std::vector<double> x;
  for (std::size_t i = 0; i < gqa_hidden; ++i) x.push_back(row[i]);
  Projected p{l.q.times(x, l.q_bias), l.k.times(x, l.k_bias), l.v.times(x, l.v_bias)};
  norm_clip_rotate(l, p.query, l.q_norm, position);
  norm_clip_rotate(l, p.key, l.k_norm, position);
  if (l.options.clip > 0) {
    for (double& y : p.value) y = std::clamp(y, -double{l.options.clip}, double{l.options.clip});
  }
  return p;
}

// Attention of one query row over the cached keys and values, in double.
template <class On>
std::vector<double> attend_plainly(const GqaLayer<On>& l, const std::vector<double>& query, std::uint32_t position,
                                   const std::vector<std::vector<float>>& cache) {
  const std::size_t dim = l.options.head_dim, group = l.options.heads / l.options.kv_heads;
  const std::uint32_t window = l.options.window, first = window && position >= window ? position - window + 1 : 0;
  std::vector<double> out(l.width);
  for (std::size_t h = 0; h < l.options.heads; ++h) {
    const std::size_t shared = h / group * dim;
    std::vector<double> scores;
    for (std::uint32_t t = first; t <= position; ++t) {
      double s = 0;
      for (std::size_t d = 0; d < dim; ++d) s += query[h * dim + d] * cache[t][shared + d];
      scores.push_back(s * l.config.gqa.softmax_scale);
    }
    double top = *std::max_element(scores.begin(), scores.end());
    if (!l.sinks.empty()) top = std::max(top, double{l.sinks[h]});
    double sum = l.sinks.empty() ? 0 : std::exp(l.sinks[h] - top);
    for (double& s : scores) sum += s = std::exp(s - top);
    for (std::uint32_t t = first; t <= position; ++t) {
      for (std::size_t d = 0; d < dim; ++d) {
        out[h * dim + d] += scores[t - first] / sum * cache[t][l.kv_width + shared + d];
      }
    }
  }
  return l.out.times(out, l.out_bias);
}

}  // namespace

TEST_CASE_TEMPLATE("grouped attention is the plain one, with every option, the same bits on all bodies and threads", On,
                   OnCpu) {
  constexpr std::uint32_t tokens = 150;
  const auto rows = rows_of(20, tokens);
  for (const GqaOptions& options : gqa_options) {
    CAPTURE(options.name);
    const GqaLayer<On> layer(options);
    auto stream = On::stream();
    GqaBench<On> bench(layer, stream);
    const GqaPlaces places(tokens);
    const auto out = attend(bench, rows, tokens, RowKind::Prompt, places);
    const auto cache = cached(bench, places, tokens);
    std::vector<float> wanted;
    double key_squares = 0, key_errors = 0;
    for (std::uint32_t t = 0; t < tokens; ++t) {
      const Projected p = project(layer, rows.data() + t * gqa_hidden, t);
      for (std::size_t i = 0; i < layer.kv_width; ++i) {
        // Rounded once to bf16, from a value with some fp32 roundings.
        CHECK(std::abs(cache[t][i] - p.key[i]) <= 0x1p-8 * std::abs(p.key[i]) + 0x1p-18);
        CHECK(std::abs(cache[t][layer.kv_width + i] - p.value[i]) <= 0x1p-8 * std::abs(p.value[i]) + 0x1p-18);
        key_squares += p.key[i] * p.key[i], key_errors += std::pow(cache[t][i] - p.key[i], 2);
      }
      for (double y : attend_plainly(layer, p.query, t, cache)) wanted.push_back(static_cast<float>(y));
    }
    CHECK(key_errors > 0);
    CHECK(key_errors <= 0x1p-16 * key_squares);
    // No rounding to bf16 between the cache and here: chains of so many fp32 terms, whose errors reach the weights of
    // the softmax through scores of a few units.
    const double terms = gqa_hidden + options.head_dim + tokens + layer.width;
    CHECK(rms_difference(out, wanted) / rms(wanted) <= 4 * terms * 0x1p-24);

    for (const auto& one : On::streams()) {
      GqaBench<On> other(layer, *one);
      CHECK(same(attend(other, rows, tokens, RowKind::Prompt, places), out));
    }
  }
}

TEST_CASE_TEMPLATE("chunks, kinds of rows, neighbours, micro-batches and the order of pages do not change a bit", On,
                   OnCpu) {
  constexpr std::uint32_t tokens = 300;
  const auto rows = rows_of(21, tokens);
  for (const GqaOptions& options : gqa_options) {
    CAPTURE(options.name);
    const GqaLayer<On> layer(options);
    auto stream = On::stream(2);
    GqaBench<On> bench(layer, stream);
    const auto out = attend(bench, rows, tokens, RowKind::Prompt, GqaPlaces(tokens));
    for (std::uint32_t chunk : {64u, 37u, 200u}) {
      CHECK(same(attend(bench, rows, chunk, RowKind::Prompt, GqaPlaces(tokens, 3, 7)), out));
    }
    CHECK(same(attend(bench, rows, 1, RowKind::Generated, GqaPlaces(tokens, 1, 5)), out));

    // Positions 0..99 by themselves; then three sequences go on beside each other, whole and in two halves.
    const std::uint32_t begun = 100;
    const std::vector<GqaPlaces> places{GqaPlaces(tokens, 0), GqaPlaces(tokens, 5), GqaPlaces(tokens, 10)};
    for (std::size_t half : {3, 1}) {
      for (const GqaPlaces& p : places) {
        attend(bench, {rows.begin(), rows.begin() + begun * gqa_hidden}, begun, RowKind::Prompt, p);
      }
      Step step;
      std::vector<float> all;
      for (const auto& [kind, count] :
           {std::pair(RowKind::Generated, 1u), {RowKind::Prompt, 150u}, {RowKind::Prompt, 33u}}) {
        add(step, kind, begun, count, places[step.segments.size()]);
        all.insert(all.end(), rows.begin() + begun * gqa_hidden, rows.begin() + (begun + count) * gqa_hidden);
      }
      std::vector<float> together(all.size());
      bench.run(step, 0, half, all.data(), together.data());
      if (half < 3) bench.run(step, half, 3 - half, all.data(), together.data());
      for (const Segment& s : step.segments) {
        CHECK(std::memcmp(together.data() + s.first_row * gqa_hidden, out.data() + begun * gqa_hidden,
                          s.rows * gqa_hidden * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE_TEMPLATE("pages outside the window are not needed, pages inside are", On, OnCpu) {
  constexpr std::uint32_t tokens = 400, begun = 330;
  const auto rows = rows_of(22, tokens);
  for (const GqaOptions& options : gqa_options) {
    if (!options.window) continue;
    CAPTURE(options.name);
    const GqaLayer<On> layer(options);
    auto stream = On::stream();
    GqaBench<On> bench(layer, stream);
    GqaPlaces places(tokens);
    const auto out = attend(bench, rows, tokens, RowKind::Prompt, places);
    const std::uint32_t gone = (begun - options.window + 1) / page_tokens;
    REQUIRE(gone >= 3);
    const std::size_t page = page_tokens * bench.cache.width();
    for (std::uint32_t p = 0; p < gone; ++p) {
      PageId& id = places.pages[1][p];
      std::memset(static_cast<void*>(bench.cache.layer(layer.id()).data + id.value * page), 0xff,
                  page * sizeof(bf16));  // NaN
      id = {-1};
    }
    const std::vector<float> rest(rows.begin() + begun * gqa_hidden, rows.end());
    for (RowKind kind : {RowKind::Prompt, RowKind::Generated}) {
      Step step;
      add(step, kind, begun, tokens - begun, places);
      std::vector<float> again(rest.size());
      bench.run(step, 0, 1, rest.data(), again.data());
      CHECK(std::memcmp(again.data(), out.data() + begun * gqa_hidden, rest.size() * sizeof(float)) == 0);
    }
    places.pages[1][gone] = {-1};
    Step step;
    add(step, RowKind::Prompt, begun, tokens - begun, places);
    std::vector<float> none(rest.size());
    CHECK_THROWS_AS(bench.run(step, 0, 1, rest.data(), none.data()), ContractViolation);
  }
}

TEST_CASE_TEMPLATE("a copied page of grouped attention is as good as the page", On, OnCpu) {
  constexpr std::uint32_t tokens = 160, begun = 83;  // an odd number of the second page's tokens
  const auto rows = rows_of(23, tokens);
  for (const GqaOptions& options : gqa_options) {
    CAPTURE(options.name);
    const GqaLayer<On> layer(options);
    auto stream = On::stream();
    GqaBench<On> bench(layer, stream);
    const GqaPlaces places(tokens);
    const auto out = attend(bench, rows, tokens, RowKind::Prompt, places);
    GqaPlaces copied = places;
    const std::size_t group = static_cast<std::size_t>(layer.group());
    copied.pages[group][1] = {12}, copied.pages[group][2] = {13};
    const schedule::PageCopy copy{layer.group(), places.pages[group][1], {12}, begun - page_tokens};
    bench.cache.copy({&copy, 1});
    const std::vector<float> rest(rows.begin() + begun * gqa_hidden, rows.end());
    std::vector<float> again(rest.size());
    Step step;
    add(step, RowKind::Generated, begun, tokens - begun, copied);
    bench.run(step, 0, 1, rest.data(), again.data());
    CHECK(std::memcmp(again.data(), out.data() + begun * gqa_hidden, rest.size() * sizeof(float)) == 0);
  }
}
