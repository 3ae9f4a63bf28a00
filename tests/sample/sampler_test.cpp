#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "kernels/cpu/stream.hpp"
#include "kernels/rows.hpp"
#include "sample/cpu/sampler.hpp"
#include "sample/reference.hpp"

using namespace moemill;
using namespace moemill::sample;
using namespace moemill::sample::test;

namespace {

struct Case {
  std::vector<float> logits;
  SamplingParams params;
  std::vector<TokenId> prompt, generated, stop;
  std::uint64_t seed = 1;
  SampleRequest request(std::uint32_t row = 0) const { return {row, &params, prompt, generated, stop, seed, {}}; }
};

// A backend that tests of drawing run on. A second one is a structure of the same names.
struct OnCpu {
  using Stream = cpu::Stream;
  using Sampler = cpu::Sampler;
};

template <class Sampler>
SampleResult sample_one(Sampler& sampler, const Case& c, std::span<TokenLogprob> top = {}) {
  SampleRequest request = c.request();
  request.top = top;
  SampleResult result;
  sampler.sample(Rows<const float>(c.logits.data(), 1, c.logits.size()), 0, std::span(&request, 1),
                 std::span(&result, 1));
  return result;
}

// The logits of several cases, row after row.
std::vector<float> logits_of(std::span<const Case> cases) {
  std::vector<float> all;
  for (const Case& c : cases) all.insert(all.end(), c.logits.begin(), c.logits.end());
  return all;
}

Case random_case(std::uint64_t seed, std::size_t vocabulary) {
  auto r = [&](std::uint64_t i) { return philox(seed, i, 3)[0]; };
  Case c;
  const float spreads[] = {0.0f, 0.1f, 1.0f, 4.0f};
  c.logits = random_logits(seed, vocabulary, spreads[r(0) % 4]);
  if (r(1) % 3 == 0) {
    for (float& x : c.logits) x = std::round(x);  // many ties
  }
  const float temperatures[] = {0.1f, 0.7f, 1.0f, 3.0f};
  c.params.temperature = temperatures[r(2) % 4];
  if (r(3) % 2) c.params.top_p = 0.05f + 0.9f * unit(seed, 100);
  if (r(4) % 2) c.params.top_k = static_cast<std::int32_t>(1 + r(5) % (2 * vocabulary));
  if (r(4) % 4 == 1) c.params.top_k = 1 + static_cast<std::int32_t>(r(5) % 8);
  if (r(6) % 3 == 0) c.params.min_p = 0.3f * unit(seed, 101);
  if (r(7) % 3 == 0) {
    c.params.repetition_penalty = 0.5f + unit(seed, 102);
    c.params.presence_penalty = 2 * unit(seed, 103) - 1;
    c.params.frequency_penalty = 2 * unit(seed, 104) - 1;
  }
  for (std::uint64_t i = 0; i < r(8) % 20; ++i) c.prompt.push_back(static_cast<TokenId>(r(200 + i) % vocabulary));
  for (std::uint64_t i = 0; i < r(9) % 20; ++i) c.generated.push_back(static_cast<TokenId>(r(300 + i) % vocabulary));
  if (vocabulary > 2 && r(10) % 4 == 0) c.params.min_tokens = 10, c.stop = {0, static_cast<TokenId>(vocabulary - 1)};
  c.seed = philox(seed, 5)[0];
  return c;
}

}  // namespace

TEST_CASE_TEMPLATE("every parameter, alone and together, against a plain reference", B, OnCpu) {
  typename B::Stream stream;
  int compared = 0, ambiguous = 0;
  for (std::size_t vocabulary :
       {std::size_t{1}, std::size_t{3}, std::size_t{63}, std::size_t{65}, std::size_t{500}, std::size_t{5000}}) {
    typename B::Sampler sampler(stream, static_cast<std::uint32_t>(vocabulary));
    for (std::uint64_t i = 0; i < 150; ++i) {
      CAPTURE(vocabulary);
      CAPTURE(i);
      Case c = random_case(vocabulary * 1000 + i, vocabulary);
      Kept kept = kept_distribution(adjusted_logits(c.request(), c.logits), c.params);
      if (kept.ambiguous) {
        ++ambiguous;
        continue;
      }
      for (int draw = 0; draw < 20; ++draw, ++compared, ++c.seed) {
        SampleResult result = sample_one(sampler, c);
        auto random = philox(c.seed, c.generated.size());
        REQUIRE(result.finite);
        REQUIRE(agrees(kept, uniform(random[1], random[0]), result.token));
        REQUIRE(std::isnan(result.logprob));
      }
    }
  }
  CHECK(compared > 12000);
  CHECK(ambiguous < 200);
}

TEST_CASE("every draw is the one of the definition in whole numbers, on every instruction set") {
  for (cpu::Isa isa : {cpu::Isa::Plain, cpu::Isa::Avx2, cpu::Isa::Avx512}) {
    if (!cpu::available(isa)) continue;
    cpu::Stream stream(isa);
    for (std::size_t vocabulary : {std::size_t{1}, std::size_t{65}, std::size_t{1025}, std::size_t{5000}}) {
      cpu::Sampler sampler(stream, static_cast<std::uint32_t>(vocabulary));
      for (std::uint64_t i = 0; i < 60; ++i) {
        CAPTURE(vocabulary);
        CAPTURE(i);
        Case c = random_case(vocabulary * 1000 + i, vocabulary);
        c.params.repetition_penalty = 1;
        c.params.presence_penalty = c.params.frequency_penalty = 0;
        c.params.min_tokens = 0;
        for (int draw = 0; draw < 4; ++draw, ++c.seed) {
          const auto random = philox(c.seed, c.generated.size());
          REQUIRE(sample_one(sampler, c).token == exact_draw(c.logits, c.params, uniform_53(random[1], random[0])));
        }
      }
    }
  }
}

// Rows of many tokens, flat to peaked, with and without ties: by a band of tokens, by the likely ones and by all.
TEST_CASE("top_p of many tokens is the one of the definition, however flat the row") {
  constexpr std::size_t vocabulary = 30011;
  for (cpu::Isa isa : {cpu::Isa::Plain, cpu::Isa::Avx2, cpu::Isa::Avx512}) {
    if (!cpu::available(isa)) continue;
    cpu::Stream stream(isa);
    cpu::Sampler sampler(stream, vocabulary);
    for (float spread : {0.0f, 0.02f, 0.5f, 2.0f, 5.0f, 12.0f}) {
      Case c;
      c.logits = random_logits(11, vocabulary, spread);
      for (bool with_ties : {false, true}) {
        if (with_ties) {
          for (float& x : c.logits) x = std::round(4 * x) / 4;
        }
        for (float top_p : {1e-9f, 0.3f, 0.9f, 0.995f, 0.9999999f}) {
          CAPTURE(spread);
          CAPTURE(with_ties);
          CAPTURE(top_p);
          c.params.top_p = top_p;
          c.params.temperature = top_p == 0.3f ? 0.6f : 1.0f;
          for (c.seed = 1; c.seed < 3; ++c.seed) {
            const auto random = philox(c.seed, 0);
            REQUIRE(sample_one(sampler, c).token == exact_draw(c.logits, c.params, uniform_53(random[1], random[0])));
          }
        }
      }
    }
  }
}

TEST_CASE("maxima that come with the logits change nothing, and tell of a logit that is not finite") {
  constexpr std::size_t vocabulary = 5003, chunks = (vocabulary + cpu::maxima_chunk - 1) / cpu::maxima_chunk;
  cpu::Stream stream;
  cpu::Sampler sampler(stream, vocabulary);
  for (std::uint64_t i = 0; i < 40; ++i) {
    CAPTURE(i);
    Case c = random_case(i, vocabulary);
    c.params.logprobs = 3;
    if (i % 8 == 7) c.logits[i * 100] = i % 16 == 7 ? -std::numeric_limits<float>::infinity() : std::nanf("");
    std::vector<float> maxima(chunks);
    if (!chunk_maxima(stream, c.logits, maxima)) maxima[i] = std::nanf("");
    const Rows<const float> values(c.logits.data(), 1, vocabulary);
    const cpu::Logits with(values, {maxima.data(), 1, chunks});
    TokenLogprob top[2][3];
    SampleResult results[2];
    float scores[2];
    const ScoreRequest target{0, 17};
    for (int k : {0, 1}) {
      SampleRequest request = c.request();
      request.top = top[k];
      sampler.sample(k ? with : cpu::Logits(values), 0, std::span(&request, 1), std::span(&results[k], 1));
      sampler.score(k ? with : cpu::Logits(values), 0, std::span(&target, 1), std::span(&scores[k], 1));
    }
    CHECK(results[0].finite == (i % 8 != 7));
    CHECK(results[1].finite == results[0].finite);
    CHECK(std::memcmp(&scores[0], &scores[1], sizeof(float)) == 0);
    if (!results[0].finite) continue;
    CHECK(results[1].token == results[0].token);
    CHECK(results[1].logprob == results[0].logprob);
    for (int t : {0, 1, 2}) CHECK((top[0][t].token == top[1][t].token && top[0][t].logprob == top[1][t].logprob));
  }
}

TEST_CASE_TEMPLATE("greedy takes the largest logit, ties to the lowest id, after penalties", B, OnCpu) {
  typename B::Stream stream;
  typename B::Sampler sampler(stream, 200);
  Case c;
  c.logits.assign(200, -3.0f);
  c.logits[150] = c.logits[70] = c.logits[199] = 2.0f;
  c.params.temperature = 0;
  CHECK(sample_one(sampler, c).token == 70);
  c.generated = {70};
  CHECK(sample_one(sampler, c).token == 70);
  c.params.presence_penalty = 0.5f;
  CHECK(sample_one(sampler, c).token == 150);
  c.prompt = {150};
  c.params.repetition_penalty = 1.1f;
  CHECK(sample_one(sampler, c).token == 199);
  c.params.min_tokens = 2, c.stop = {199};  // one token generated: 199 is still masked
  CHECK(sample_one(sampler, c).token == 150);
  c.generated = {70, 70};
  CHECK(sample_one(sampler, c).token == 199);
}

TEST_CASE_TEMPLATE("draws have the distribution's frequencies (chi-square, fixed seeds)", B, OnCpu) {
  typename B::Stream stream;
  const std::size_t vocabulary = 12;
  typename B::Sampler sampler(stream, vocabulary);
  for (int variant = 0; variant < 4; ++variant) {
    CAPTURE(variant);
    Case c;
    c.logits = random_logits(42, vocabulary, 1.0f);
    c.params.temperature = variant == 1 ? 0.5f : 1.0f;
    if (variant == 2) c.params.top_p = 0.8f;
    if (variant == 3) c.params.top_k = 5;
    Kept kept = kept_distribution(c.logits, c.params);
    REQUIRE_FALSE(kept.ambiguous);
    const int draws = 40000;
    std::vector<int> counts(vocabulary, 0);
    for (int d = 0; d < draws; ++d) {
      c.seed = sample_seed(7, static_cast<std::uint64_t>(d), static_cast<std::uint32_t>(variant));
      ++counts[static_cast<std::size_t>(sample_one(sampler, c).token)];
    }
    double total = std::accumulate(kept.p.begin(), kept.p.end(), 0.0), chi = 0;
    int kinds = 0;
    for (std::size_t i = 0; i < vocabulary; ++i) {
      double expected = draws * kept.p[i] / total;
      if (kept.p[i] == 0) {
        CHECK(counts[i] == 0);
        continue;
      }
      chi += (counts[i] - expected) * (counts[i] - expected) / expected;
      ++kinds;
    }
    CHECK(kinds > 3);
    CHECK(chi < 31.3);  // 11 degrees of freedom: p = 0.001; fewer for the filtered ones
  }
}

TEST_CASE_TEMPLATE("successive tokens of a sample and samples of a prompt are drawn independently", B, OnCpu) {
  typename B::Stream stream;
  typename B::Sampler sampler(stream, 2);
  Case c;
  c.logits = {0, 0};
  int same = 0;
  for (std::uint64_t s = 0; s < 4000; ++s) {
    c.generated.clear();
    c.seed = sample_seed(1, 2, static_cast<std::uint32_t>(s));
    TokenId first = sample_one(sampler, c).token;
    c.generated = {first};
    same += sample_one(sampler, c).token == first ? 1 : 0;
  }
  CHECK(std::abs(same - 2000) < 158);  // five standard deviations
}

TEST_CASE_TEMPLATE("logits that are not finite fail their row and no other", B, OnCpu) {
  typename B::Stream stream;
  const std::size_t vocabulary = 300;
  typename B::Sampler sampler(stream, vocabulary);
  for (float bad : {std::nanf(""), INFINITY, -INFINITY}) {
    for (std::size_t place : {std::size_t{0}, std::size_t{17}, std::size_t{255}, std::size_t{299}}) {
      Case good = random_case(1, vocabulary), broken = good;
      broken.logits[place] = bad;
      const std::vector<float> logits = logits_of(std::vector{broken, good});
      std::vector<SampleRequest> requests = {broken.request(0), good.request(1)};
      std::vector<SampleResult> results(2);
      sampler.sample(Rows<const float>(logits.data(), 2, vocabulary), 0, requests, results);
      CHECK_FALSE(results[0].finite);
      CHECK(results[1].finite);
    }
  }
  Case masked;
  masked.logits = {1.0f};
  masked.params.min_tokens = 1, masked.stop = {0};
  typename B::Sampler one(stream, 1);
  CHECK_FALSE(sample_one(one, masked).finite);
}

TEST_CASE_TEMPLATE("logprobs are the model's own, best first, ties to the lowest id", B, OnCpu) {
  typename B::Stream stream;
  const std::size_t vocabulary = 1000;
  typename B::Sampler sampler(stream, vocabulary);
  Case c = random_case(12, vocabulary);
  for (float& x : c.logits) x = std::round(x * 4) / 4;
  c.params.temperature = 0.3f, c.params.repetition_penalty = 1.5f;  // change the draw, not the logprobs
  double total = 0;
  for (float x : c.logits) total += std::exp(static_cast<double>(x));
  std::vector<std::size_t> order(vocabulary);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return c.logits[a] > c.logits[b]; });
  for (std::uint32_t k : {0u, 1u, 5u, 15u, 16u, 17u, 300u, 1000u}) {
    CAPTURE(k);
    c.params.logprobs = k;
    std::vector<TokenLogprob> top(k);
    SampleResult result = sample_one(sampler, c, top);
    double tolerance = 8 * 1.2e-7 * 10;  // a few roundings at the size of the values
    CHECK(std::abs(result.logprob - (c.logits[static_cast<std::size_t>(result.token)] - std::log(total))) < tolerance);
    for (std::size_t i = 0; i < k; ++i) {
      REQUIRE(top[i].token == static_cast<TokenId>(order[i]));
      REQUIRE(std::abs(top[i].logprob - (c.logits[order[i]] - std::log(total))) < tolerance);
    }
  }
  const std::vector<ScoreRequest> targets = {{7, 5}, {8, 0}};
  std::vector<float> two(2 * 1024, 0.0f);
  std::copy(c.logits.begin(), c.logits.end(), two.begin());
  std::copy(c.logits.begin(), c.logits.end(), two.begin() + 1024);
  float scores[2];
  sampler.score(Rows<const float>(two.data(), 2, vocabulary, 1024), 7, targets, scores);
  CHECK(std::abs(scores[0] - (c.logits[5] - std::log(total))) < 1e-5);
  CHECK(std::abs(scores[1] - (c.logits[0] - std::log(total))) < 1e-5);
}

TEST_CASE("same bits for any instruction set, threads, batch and neighbours") {
  const std::size_t vocabulary = 4099;
  std::vector<Case> cases;
  for (std::uint64_t i = 0; i < 60; ++i) {
    cases.push_back(random_case(i + 777, vocabulary));
    cases.back().params.logprobs = 3;
    if (i % 5 == 0) cases.back().params.temperature = 0;
  }
  const std::vector<float> all = logits_of(cases);
  std::vector<SampleResult> expected;
  std::vector<std::vector<TokenLogprob>> expected_top;
  for (cpu::Isa isa : {cpu::Isa::Plain, cpu::Isa::Avx2, cpu::Isa::Avx512}) {
    if (!cpu::available(isa)) {
      MESSAGE("not on this CPU: " << cpu::name(isa));
      continue;
    }
    for (int threads : {1, 3}) {
      for (std::size_t batch : {std::size_t{1}, std::size_t{7}, std::size_t{60}}) {
        cpu::Stream stream(isa, threads);
        cpu::Sampler sampler(stream, vocabulary);
        std::vector<SampleResult> results(cases.size());
        std::vector<std::vector<TokenLogprob>> top(cases.size(), std::vector<TokenLogprob>(3));
        for (std::size_t first = 0; first < cases.size(); first += batch) {
          std::vector<SampleRequest> requests;
          const std::size_t end = std::min(first + batch, cases.size());
          for (std::size_t i = first; i < end; ++i) {
            requests.push_back(cases[i].request(static_cast<std::uint32_t>(i)));
            requests.back().top = top[i];
          }
          const Rows<const float> logits(all.data() + first * vocabulary, end - first, vocabulary);
          sampler.sample(logits, static_cast<std::uint32_t>(first), requests,
                         std::span(results).subspan(first, requests.size()));
        }
        if (expected.empty()) expected = results, expected_top = top;
        for (std::size_t i = 0; i < cases.size(); ++i) {
          REQUIRE(results[i].finite);
          REQUIRE(results[i].token == expected[i].token);
          REQUIRE(results[i].logprob == expected[i].logprob);
          for (std::size_t k = 0; k < 3; ++k) {
            REQUIRE(top[i][k].token == expected_top[i][k].token);
            REQUIRE(top[i][k].logprob == expected_top[i][k].logprob);
          }
        }
      }
    }
  }
}
