#include "kernels/cpu/attention_pages.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/buffer.hpp"
#include "kernels/cpu/bodies.hpp"
#include "support.hpp"

using namespace moemill;
using namespace moemill::test;
using cpu::Isa;

namespace {

constexpr std::size_t page_positions = 64;

// Rows over the pages of one key-value head.
struct Problem {
  std::size_t rows, dim, tokens;
  std::vector<float> query, keys, values;  // [rows][dim], [tokens][dim] twice, as bf16 holds them
  std::vector<std::uint32_t> first, last;
  std::vector<float> sinks;  // [rows], or none
  Buffer<bf16> pages;

  Problem(std::size_t r, std::size_t d, std::size_t t, std::uint64_t seed)
      : rows(r), dim(d), tokens(t), first(r, 0), last(r, static_cast<std::uint32_t>(t - 1)) {
    query = random_floats(rows * dim, seed, 2.0f / std::sqrt(static_cast<float>(dim)));
    for (float x : random_floats(tokens * dim, seed + 1, 3.0f)) keys.push_back(to_float(to_bf16(x)));
    for (float x : random_floats(tokens * dim, seed + 2)) values.push_back(to_float(to_bf16(x)));
    pages.reserve((tokens + page_positions - 1) / page_positions * page_values());
    for (std::size_t i = 0; i < tokens * dim; ++i) set(i / dim, i % dim, keys[i], values[i]);
  }
  std::size_t page_values() const { return 2 * page_positions * dim; }
  void set(std::size_t token, std::size_t d, float key, float value) {
    bf16* page = pages.data() + token / page_positions * page_values();
    const std::size_t at = token % page_positions;
    const bool alone = d + 1 == dim && dim % 2 == 1;
    page[alone ? d * page_positions + at : (d / 2 * page_positions + at) * 2 + d % 2] = to_bf16(key);
    page[page_positions * dim + (at / 2 * dim + d) * 2 + at % 2] = to_bf16(value);
  }
};

struct Result {
  std::vector<float> maximum, sum, output;  // [rows], [rows], [rows][dim]
};

// Rows [from, to) of the problem; pages that none of them sees are left out if so asked.
enum class Unseen { Visit, Skip };
Result attend(Isa isa, const Problem& p, std::size_t from, std::size_t to, Unseen unseen) {
  cpu::Stream stream(isa);
  const std::size_t rows = to - from, stride = (p.dim + 15) / 16 * 16;
  Padded<float> running(rows, stride, 0), maximum(1, rows, 0), sum(1, rows, 0), output(rows, p.dim, 0);
  std::vector<float> query(cpu::attention_query_floats(rows, p.dim));
  cpu::AttentionRows tile{
      rows,           p.dim,      stride,        query.data(), p.first.data() + from, p.last.data() + from,
      maximum.data(), sum.data(), running.data()};
  Vector<const float> sinks;
  if (!p.sinks.empty()) sinks = {p.sinks.data() + from, rows};
  const std::size_t heads = rows % 2 ? 1 : rows / 2;  // of a query
  cpu::attention_begin(stream, tile, {p.query.data() + from * p.dim, heads, heads * p.dim}, 1, sinks);
  for (std::size_t t = 0; t < p.tokens; t += page_positions) {
    bool seen = false;
    for (std::size_t r = from; r < to; ++r) seen |= p.first[r] < t + page_positions && p.last[r] >= t;
    if (!seen && unseen == Unseen::Skip) continue;
    const bf16* page = p.pages.data() + t / page_positions * p.page_values();
    const bf16* next = t + page_positions < p.tokens ? page + p.page_values() : nullptr;
    cpu::attention_page(stream, tile, page, static_cast<std::uint32_t>(t), {next, p.query});
  }
  cpu::attention_end(stream, tile, {output.data(), heads, heads * p.dim});
  CHECK(output.padding_untouched());
  CHECK(running.padding_untouched());
  CHECK(maximum.padding_untouched());
  CHECK(sum.padding_untouched());
  Result out{{maximum.data(), maximum.data() + rows}, {sum.data(), sum.data() + rows}, {}};
  for (std::size_t r = 0; r < rows; ++r) {
    out.output.insert(out.output.end(), output.data() + r * p.dim, output.data() + (r + 1) * p.dim);
  }
  return out;
}
Result attend(Isa isa, const Problem& p) { return attend(isa, p, 0, p.rows, Unseen::Visit); }

bool same(const Result& a, const Result& b) {
  return same_bits(a.maximum, b.maximum) && same_bits(a.sum, b.sum) && same_bits(a.output, b.output);
}

void check_against_double(const Problem& p, const Result& r) {
  for (std::size_t l = 0; l < p.rows; ++l) {
    std::vector<double> s(p.tokens);
    double top = p.sinks.empty() ? -std::numeric_limits<double>::infinity() : double{p.sinks[l]}, worst = 0;
    const std::size_t end = std::min<std::size_t>(p.tokens, std::size_t{p.last[l]} + 1);
    for (std::size_t t = p.first[l]; t < end; ++t) {
      double size = 0;
      for (std::size_t d = 0; d < p.dim; ++d) {
        const double term = double{p.keys[t * p.dim + d]} * p.query[l * p.dim + d];
        s[t] += term;
        size += std::fabs(term);
      }
      top = std::max(top, s[t]);
      worst = std::max(worst, size);
    }
    double sum = p.sinks.empty() ? 0 : std::exp(p.sinks[l] - top);
    std::vector<double> o(p.dim), magnitude(p.dim);
    for (std::size_t t = p.first[l]; t < end; ++t) {
      const double weight = std::exp(s[t] - top);
      sum += weight;
      for (std::size_t d = 0; d < p.dim; ++d) {
        o[d] += weight * p.values[t * p.dim + d];
        magnitude[d] += weight * std::fabs(p.values[t * p.dim + d]);
      }
    }
    // A score's chain of dim terms errs by dim / 2 roundings of its absolute sum at most (twice: its own and the
    // top's); the sums over tokens add theirs.
    const double relative = (static_cast<double>(p.dim) * worst + 2 * static_cast<double>(p.tokens) + 16) * 0x1p-24;
    CHECK(std::fabs(r.sum[l] - sum) <= relative * sum);
    for (std::size_t d = 0; d < p.dim; ++d) {
      const double wanted = sum == 0 ? 0 : o[d] / sum, scale = sum == 0 ? 0 : magnitude[d] / sum;
      CHECK(std::fabs(r.output[l * p.dim + d] - wanted) <= 2 * relative * scale);
    }
  }
}

}  // namespace

TEST_CASE("attention over pages: bodies agree bit for bit and with a double oracle") {
  std::uint64_t seed = 1;
  for (std::size_t dim : {1, 2, 8, 13, 16, 20, 24, 64, 79, 80, 128, 192}) {
    for (std::size_t rows : {1, 2, 3, 4, 5, 7, 8, 16, 33}) {
      for (std::size_t tokens : {1, 17, 64, 131}) {
        CAPTURE(dim);
        CAPTURE(rows);
        CAPTURE(tokens);
        Problem p(rows, dim, tokens, seed += 3);
        const Result whole = attend(Isa::Plain, p);
        check_against_double(p, whole);
        for (Isa isa : vector_isas()) CHECK(same(attend(isa, p), whole));
        // Causal rows, windows, one token, nothing at all; sinks, one of them far above every score.
        p.sinks = random_floats(rows, seed + 1000, 4.0f);
        p.sinks[rows / 2] = 50;
        for (std::size_t r = 0; r < rows; ++r) {
          p.last[r] = static_cast<std::uint32_t>(r * tokens / rows);
          p.first[r] = r % 3 == 1 ? p.last[r] - std::min(p.last[r], 23u) : 0;
        }
        if (rows > 4) p.first[3] = 5, p.last[3] = 4;
        const Result masked = attend(Isa::Plain, p);
        check_against_double(p, masked);
        for (Isa isa : vector_isas()) CHECK(same(attend(isa, p), masked));
      }
    }
  }
}

TEST_CASE("attention over pages: a row does not depend on its neighbours or on pages out of its sight") {
  for (bool sinks : {false, true}) {
    Problem p(29, 40, 400, 7);
    if (sinks) p.sinks = random_floats(29, 8);
    for (std::size_t r = 0; r < p.rows; ++r) {
      p.last[r] = static_cast<std::uint32_t>(100 + 10 * r);
      p.first[r] = r % 2 ? p.last[r] - 30 : 0;
    }
    for (Isa isa : {Isa::Plain, Isa::Avx2, Isa::Avx512}) {
      if (!cpu::available(isa)) continue;
      const Result all = attend(isa, p);
      for (std::size_t r = 0; r < p.rows; ++r) {
        const Result one = attend(isa, p, r, r + 1, Unseen::Skip);
        CHECK(one.maximum[0] == all.maximum[r]);
        CHECK(one.sum[0] == all.sum[r]);
        CHECK(std::memcmp(one.output.data(), all.output.data() + r * p.dim, p.dim * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("attention over pages: what lies behind the last position is not looked at") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::uint32_t last : {0u, 14u, 63u, 64u, 77u}) {
    Problem clean(5, 24, 128, 11), dirty(5, 24, 128, 11);
    std::fill(clean.last.begin(), clean.last.end(), last);
    dirty.last = clean.last;
    for (std::size_t t = last + 1; t < 128; ++t) {
      for (std::size_t d = 0; d < 24; ++d) dirty.set(t, d, nan, nan);
    }
    for (Isa isa : {Isa::Plain, Isa::Avx2, Isa::Avx512}) {
      if (!cpu::available(isa)) continue;
      CHECK(same(attend(isa, dirty), attend(isa, clean)));
    }
  }
}

TEST_CASE("attention over pages: a row that sees nothing is zero, or its sink's alone") {
  Problem p(2, 16, 64, 3);
  p.first = {1, 64};
  p.last = {0, 90};
  const Result nothing = attend(cpu::best_isa(), p);
  p.sinks = {2.5f, -1.0f};
  const Result sink = attend(cpu::best_isa(), p);
  CHECK(nothing.sum == std::vector<float>{0, 0});
  CHECK(sink.sum == std::vector<float>{1, 1});
  CHECK(sink.maximum == p.sinks);
  for (float x : nothing.output) CHECK(x == 0);
  for (float x : sink.output) CHECK(x == 0);
}

// The kernels of rows have exp for every operand; attention has one for operands that are not positive.
TEST_CASE("attention over pages: weights are the exp of the kernels of rows, to the bit") {
  Problem p(1, page_positions, page_positions, 5);
  for (std::size_t t = 0; t < page_positions; ++t) {
    for (std::size_t d = 0; d < p.dim; ++d) p.set(t, d, d == 0 ? -1.5f * static_cast<float>(t) : 0, t == d ? 1.0f : 0);
  }
  std::fill(p.query.begin(), p.query.end(), 1.0f);
  for (Isa isa : {Isa::Plain, Isa::Avx2, Isa::Avx512}) {
    if (!cpu::available(isa)) continue;
    cpu::Stream stream(isa);
    std::vector<float> scores(p.tokens), weights(p.tokens);
    for (std::size_t t = 0; t < p.tokens; ++t) scores[t] = to_float(to_bf16(-1.5f * static_cast<float>(t)));
    const float sum = stream.bodies().exp_sum(scores.data(), p.tokens, 0, 1, weights.data());
    const Result r = attend(isa, p);
    CHECK(r.sum[0] == sum);
    for (std::size_t t = 0; t < p.tokens; ++t) CHECK(r.output[t] == (weights[t] >= 0x1p-126f ? weights[t] / sum : 0));
  }
}
