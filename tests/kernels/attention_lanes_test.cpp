#include "kernels/cpu/attention_lanes.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "support.hpp"

using namespace moemill;
using namespace moemill::test;
using cpu::Isa;

namespace {

// One tile over a whole sequence, keys and values with strides beyond their widths.
struct Problem {
  std::size_t lanes, dk, dv, tokens;
  std::vector<float> query, keys, values;  // [dk][lanes], [tokens][dk + 3], [tokens][dv + 1]
  std::vector<std::uint32_t> first, last;

  Problem(std::size_t l, std::size_t k, std::size_t v, std::size_t t, std::uint64_t seed)
      : lanes(l), dk(k), dv(v), tokens(t), first(l, 0), last(l, 0) {
    query = random_floats(dk * lanes, seed, 2.0f / std::sqrt(static_cast<float>(dk)));
    keys = random_floats(tokens * (dk + 3), seed + 1, 3.0f);
    values = random_floats(tokens * (dv + 1), seed + 2);
    for (std::size_t i = 0; i < lanes; ++i) last[i] = static_cast<std::uint32_t>(tokens - 1);
  }
};

struct Result {
  std::vector<float> maximum, sum, output;
};

// Blocks of 64 positions; the ones in [skip_from, skip_to) are left out.
Result attend(Isa isa, Problem& p, std::size_t skip_from = 0, std::size_t skip_to = 0) {
  cpu::Stream stream(isa);
  Padded<float> output(1, p.dv * p.lanes, 0), maximum(1, p.lanes, 0), sum(1, p.lanes, 0);
  cpu::AttentionTile tile{p.lanes,       p.dk,           p.dv,       p.query.data(), p.first.data(),
                          p.last.data(), maximum.data(), sum.data(), output.data()};
  attention_begin(stream, tile);
  for (std::size_t t = 0; t < p.tokens; t += 64) {
    if (t >= skip_from && t < skip_to) continue;
    const std::size_t tokens = std::min<std::size_t>(64, p.tokens - t);
    attention_block(stream, tile, rows_of(p.keys, tokens, p.dk, p.dk + 3, t * (p.dk + 3)),
                    rows_of(p.values, tokens, p.dv, p.dv + 1, t * (p.dv + 1)), static_cast<std::uint32_t>(t));
  }
  attention_end(stream, tile);
  CHECK(output.padding_untouched());
  CHECK(maximum.padding_untouched());
  CHECK(sum.padding_untouched());
  auto cut = [](Padded<float>& x) { return std::vector<float>(x.data(), x.data() + x.width); };
  return {cut(maximum), cut(sum), cut(output)};
}

bool same(const Result& a, const Result& b) {
  return same_bits(a.maximum, b.maximum) && same_bits(a.sum, b.sum) && same_bits(a.output, b.output);
}

void check_against_double(Problem& p, const Result& r) {
  for (std::size_t l = 0; l < p.lanes; ++l) {
    std::vector<double> s(p.tokens), size(p.tokens);
    double top = -std::numeric_limits<double>::infinity(), worst = 0;
    for (std::size_t t = p.first[l]; t < p.tokens && t <= p.last[l]; ++t) {
      for (std::size_t d = 0; d < p.dk; ++d) {
        double term = double{p.keys[t * (p.dk + 3) + d]} * p.query[d * p.lanes + l];
        s[t] += term;
        size[t] += std::fabs(term);
      }
      top = std::max(top, s[t]);
      worst = std::max(worst, size[t]);
    }
    double sum = 0;
    std::vector<double> o(p.dv), magnitude(p.dv);
    for (std::size_t t = p.first[l]; t < p.tokens && t <= p.last[l]; ++t) {
      double weight = std::exp(s[t] - top);
      sum += weight;
      for (std::size_t d = 0; d < p.dv; ++d) {
        o[d] += weight * p.values[t * (p.dv + 1) + d];
        magnitude[d] += weight * std::fabs(p.values[t * (p.dv + 1) + d]);
      }
    }
    if (sum == 0) {
      CHECK(r.sum[l] == 0);
      for (std::size_t d = 0; d < p.dv; ++d) CHECK(r.output[d * p.lanes + l] == 0);
      continue;
    }
    // A score's chain of dk terms errs by dk/2 roundings of its absolute sum at most (twice: its own and the top's);
    // the chains over tokens add theirs.
    const double relative = (static_cast<double>(p.dk) * worst + 2 * static_cast<double>(p.tokens) + 16) * 0x1p-24;
    CHECK(std::fabs(r.sum[l] - sum) <= relative * sum);
    for (std::size_t d = 0; d < p.dv; ++d) {
      CHECK(std::fabs(r.output[d * p.lanes + l] - o[d] / sum) <= 2 * relative * magnitude[d] / sum);
    }
  }
}

}  // namespace

TEST_CASE("attention: bodies agree bit for bit and with a double oracle") {
  for (std::size_t lanes : {16, 32}) {
    for (const auto& shape : {std::array{1, 1, 1},
                              {3, 5, 63},
                              {33, 31, 64},
                              {64, 16, 65},
                              {47, 29, 200},
                              {192, 128, 100},
                              {576, 512, 130}}) {
      const int dk = shape[0], dv = shape[1], tokens = shape[2];
      CAPTURE(lanes);
      CAPTURE(dk);
      CAPTURE(tokens);
      Problem p(lanes, static_cast<std::size_t>(dk), static_cast<std::size_t>(dv), static_cast<std::size_t>(tokens), 1);
      auto whole = attend(Isa::Plain, p);
      check_against_double(p, whole);
      for (Isa isa : vector_isas()) CHECK(same(attend(isa, p), whole));
      // Causal lanes, a window, one token, nothing at all.
      for (std::size_t l = 0; l < lanes; ++l) {
        p.first[l] = l % 5 == 0 ? static_cast<std::uint32_t>(l * p.tokens / (2 * lanes)) : 0;
        p.last[l] = static_cast<std::uint32_t>((l + 1) * p.tokens / lanes);
      }
      p.first[1] = p.last[1] = 0;
      p.first[2] = 1, p.last[2] = 0;
      auto masked = attend(Isa::Plain, p);
      check_against_double(p, masked);
      for (Isa isa : vector_isas()) CHECK(same(attend(isa, p), masked));
    }
  }
}

TEST_CASE("attention: a lane does not depend on its neighbours, the tile's width or blocks it cannot see") {
  Problem wide(32, 40, 24, 256, 7);
  for (std::size_t l = 0; l < 32; ++l) wide.last[l] = static_cast<std::uint32_t>(20 + 3 * l);  // all within 2 blocks
  for (Isa isa : {Isa::Plain, Isa::Avx2, Isa::Avx512}) {
    if (!cpu::available(isa)) continue;
    auto all = attend(isa, wide);
    CHECK(same(attend(isa, wide, 128, 256), all));
    Problem narrow(16, 40, 24, 256, 7);
    narrow.keys = wide.keys;
    narrow.values = wide.values;
    for (std::size_t l = 0; l < 16; ++l) {  // lane l is lane 31 - 2l of the wide tile
      for (std::size_t d = 0; d < 40; ++d) narrow.query[d * 16 + l] = wide.query[d * 32 + 31 - 2 * l];
      narrow.last[l] = wide.last[31 - 2 * l];
    }
    auto some = attend(isa, narrow);
    for (std::size_t l = 0; l < 16; ++l) {
      CHECK(some.sum[l] == all.sum[31 - 2 * l]);
      CHECK(some.maximum[l] == all.maximum[31 - 2 * l]);
      for (std::size_t d = 0; d < 24; ++d) REQUIRE(some.output[d * 16 + l] == all.output[d * 32 + 31 - 2 * l]);
    }
  }
}

TEST_CASE("attention: a shorter last block gives the bits of a masked full one") {
  Problem full(32, 20, 20, 128, 3);
  for (auto& last : full.last) last = 99;
  Problem shorter = full;
  shorter.tokens = 100;
  for (Isa isa : {Isa::Plain, Isa::Avx2, Isa::Avx512}) {
    if (cpu::available(isa)) CHECK(same(attend(isa, full), attend(isa, shorter)));
  }
}

TEST_CASE("attention: large scores do not overflow") {
  Problem p(16, 8, 4, 70, 5);
  for (float& q : p.query) q *= 1e4f;
  auto r = attend(Isa::Plain, p);
  for (float o : r.output) CHECK(std::isfinite(o));
  for (Isa isa : vector_isas()) CHECK(same(attend(isa, p), r));
}

TEST_CASE("attention: lanes go in scaled and come out as they were") {
  for (Isa isa : {Isa::Plain, Isa::Avx2, Isa::Avx512}) {
    if (!cpu::available(isa)) continue;
    cpu::Stream stream(isa);
    for (std::size_t lanes : {16, 32}) {
      for (std::size_t used : {std::size_t{1}, std::size_t{7}, std::size_t{16}, lanes - 1, lanes}) {
        for (std::size_t width : {1, 15, 16, 33, 64}) {
          auto in = random_floats(used * (width + 2), used + width);
          Padded<float> tile(1, width * lanes, 0), back(used, width, 3);
          lanes_in(stream, rows_of(in, used, width, width + 2), 0.25f, {tile.data(), width, lanes});
          CHECK(tile.padding_untouched());
          for (std::size_t w = 0; w < width; ++w) {
            for (std::size_t l = 0; l < lanes; ++l) {
              REQUIRE(tile.at(0, w * lanes + l) == (l < used ? in[l * (width + 2) + w] * 0.25f : 0.0f));
            }
          }
          lanes_out(stream, {tile.data(), width, lanes}, back.view());
          CHECK(back.padding_untouched());
          for (std::size_t l = 0; l < used; ++l) {
            for (std::size_t w = 0; w < width; ++w) REQUIRE(back.at(l, w) == in[l * (width + 2) + w] * 0.25f);
          }
        }
      }
    }
    auto rows = random_bf16(5 * 40, 2);
    Padded<float> out(5, 37, 4);
    widen_rows(stream, rows_of(rows, 5, 37, 40), out.view());
    CHECK(out.padding_untouched());
    for (std::size_t r = 0; r < 5; ++r) {
      for (std::size_t c = 0; c < 37; ++c) REQUIRE(out.at(r, c) == to_float(rows[r * 40 + c]));
    }
  }
}

// Tiles that share cached latents, the last one of 16 lanes or not, in bf16 rows with something behind their width.
TEST_CASE("attention: latents in bf16 give the bits of widened rows, on every instruction set") {
  for (const auto& shape :
       {std::array{1, 16, 3, 2, 63}, {2, 16, 80, 64, 130}, {2, 32, 36, 32, 64}, {5, 16, 200, 130, 70}}) {
    const auto count = static_cast<std::size_t>(shape[0]), last_lanes = static_cast<std::size_t>(shape[1]);
    const auto dk = static_cast<std::size_t>(shape[2]), dv = static_cast<std::size_t>(shape[3]);
    const auto tokens = static_cast<std::size_t>(shape[4]), stride = dk + 5;
    CAPTURE(count);
    const std::vector<bf16> rows = random_bf16(tokens * stride + 16, 7, 3.0f);
    std::vector<Problem> problems;
    for (std::size_t i = 0; i < count; ++i) {
      problems.emplace_back(i + 1 < count ? 32 : last_lanes, dk, dv, tokens, 10 + i);
      Problem& p = problems.back();
      p.last[3] = static_cast<std::uint32_t>(tokens / 2);
      for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t d = 0; d < dk; ++d) p.keys[t * (dk + 3) + d] = to_float(rows[t * stride + d]);
        for (std::size_t d = 0; d < dv; ++d) p.values[t * (dv + 1) + d] = to_float(rows[t * stride + d]);
      }
    }
    std::vector<Result> whole;
    for (Problem& p : problems) whole.push_back(attend(Isa::Plain, p));
    std::vector<Isa> isas = vector_isas();
    isas.push_back(Isa::Plain);
    for (Isa isa : isas) {
      cpu::Stream stream(isa);
      std::vector<Result> results;
      std::vector<cpu::AttentionTile> tiles;
      for (Problem& p : problems) results.push_back({std::vector<float>(p.lanes), std::vector<float>(p.lanes), {}});
      for (std::size_t i = 0; i < count; ++i) {
        Problem& p = problems[i];
        results[i].output.resize(dv * p.lanes);
        tiles.push_back({p.lanes, dk, dv, p.query.data(), p.first.data(), p.last.data(), results[i].maximum.data(),
                         results[i].sum.data(), results[i].output.data()});
        attention_begin(stream, tiles[i]);
      }
      Padded<float> scratch(1, cpu::latent_scratch_floats(count), 0);
      for (std::size_t t = 0; t < tokens; t += 64) {
        const std::size_t some = std::min<std::size_t>(64, tokens - t);
        const bf16* next = t % 128 == 0 ? rows.data() : nullptr;
        attention_latents(
            stream, tiles,
            {rows.data() + t * stride, stride, some, static_cast<std::uint32_t>(t), next, scratch.data()});
      }
      CHECK(scratch.padding_untouched());
      for (std::size_t i = 0; i < count; ++i) {
        attention_end(stream, tiles[i]);
        CHECK(same(results[i], whole[i]));
      }
    }
  }
}
