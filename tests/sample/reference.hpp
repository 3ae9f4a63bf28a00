// The sampler's definition once more, as plainly as possible: doubles, a full sort, libm. For tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "base/numbers/random.hpp"
#include "kernels/fixed_point.hpp"
#include "sample/requests.hpp"

namespace moemill::sample::test {

inline float unit(std::uint64_t seed, std::uint64_t i) { return static_cast<float>(uniform(philox(seed, i)[0], 0)); }

// Roughly normal values.
inline std::vector<float> random_logits(std::uint64_t seed, std::size_t count, float spread) {
  std::vector<float> row(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto r = philox(seed, i, 77);
    float sum = 0;
    for (std::uint32_t word : r) sum += static_cast<float>(uniform(word, 0)) - 0.5f;
    row[i] = sum * 1.7f * spread;
  }
  return row;
}

inline std::vector<float> adjusted_logits(const SampleRequest& request, std::vector<float> x) {
  const SamplingParams& p = *request.params;
  std::set<TokenId> generated(request.generated.begin(), request.generated.end()), all = generated;
  all.insert(request.prompt.begin(), request.prompt.end());
  for (TokenId t : all) {
    float& v = x[static_cast<std::size_t>(t)];
    v = v > 0 ? v / p.repetition_penalty : v * p.repetition_penalty;
  }
  for (TokenId t : generated) {
    auto times = std::count(request.generated.begin(), request.generated.end(), t);
    x[static_cast<std::size_t>(t)] -= p.presence_penalty;
    x[static_cast<std::size_t>(t)] -= p.frequency_penalty * static_cast<float>(times);
  }
  if (request.generated.size() < p.min_tokens) {
    for (TokenId t : request.stop_tokens) x[static_cast<std::size_t>(t)] = -std::numeric_limits<float>::infinity();
  }
  return x;
}

struct Kept {
  std::vector<double> p;   // [vocabulary], zero where filtered out
  bool ambiguous = false;  // a filter's boundary is too close to call in floating point
};

inline Kept kept_distribution(const std::vector<float>& x, const SamplingParams& params) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
  double largest = x[order[0]];
  Kept kept;
  kept.p.assign(x.size(), 0);
  std::vector<double> p(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    p[i] = std::exp((x[i] - largest) / static_cast<double>(params.temperature));

  std::erase_if(order, [&](std::size_t i) {
    if (params.min_p > 0 && std::abs(p[i] - params.min_p) < 1e-4 * params.min_p) kept.ambiguous = true;
    return p[i] < params.min_p;
  });
  if (params.top_k > 0 && static_cast<std::size_t>(params.top_k) < order.size()) {
    order.resize(static_cast<std::size_t>(params.top_k));
  }
  double total = 0, reached = 0;
  for (std::size_t i : order) total += p[i];
  for (std::size_t i : order) {
    double target = static_cast<double>(params.top_p) * total;
    if (params.top_p < 1 && reached > 0 && std::abs(reached - target) < 1e-5 * total) kept.ambiguous = true;
    if (params.top_p < 1 && reached > 0 && reached >= target) break;
    reached += p[i];
    kept.p[i] = p[i];
  }
  return kept;
}

// The token of the definition in requests.hpp, by whole numbers and a full sort. x: adjusted logits.
inline TokenId exact_draw(const std::vector<float>& x, const SamplingParams& params, std::uint64_t u53) {
  const float largest = *std::max_element(x.begin(), x.end());
  cpu::Stream plain(cpu::Isa::Plain);
  std::vector<float> p(x.size());
  cpu::fixed_exp_row(plain, x, largest, 1.0f / params.temperature, p.data());
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
  std::erase_if(order, [&](std::size_t i) { return p[i] < params.min_p; });
  if (params.top_k > 0 && static_cast<std::size_t>(params.top_k) < order.size())
    order.resize(static_cast<std::size_t>(params.top_k));
  auto whole = [&](std::size_t i) { return static_cast<unsigned __int128>(std::llrint(std::ldexp(double{p[i]}, 40))); };
  auto total = [&] {
    unsigned __int128 sum = 0;
    for (std::size_t i : order) sum += whole(i);
    return sum;
  };
  if (params.top_p < 1) {
    // Different logits may have one p: top_p orders by p.
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return p[a] != p[b] ? p[a] > p[b] : a < b; });
    const auto target =
        total() * static_cast<unsigned __int128>(std::llrint(std::ldexp(double{params.top_p}, 40))) >> 40;
    unsigned __int128 reached = 0;
    std::size_t kept = 0;
    do reached += whole(order[kept++]);
    while (reached < target);
    order.resize(kept);
  }
  std::sort(order.begin(), order.end());
  const auto target = total() * u53 >> 53;
  unsigned __int128 sum = 0;
  for (std::size_t i : order) {
    sum += whole(i);
    if (sum > target) return static_cast<TokenId>(i);
  }
  return -1;
}

// Whether `token` is where u falls, give or take rounding.
inline bool agrees(const Kept& kept, double u, TokenId token) {
  double total = std::accumulate(kept.p.begin(), kept.p.end(), 0.0);
  auto t = static_cast<std::ptrdiff_t>(token);
  double before = std::accumulate(kept.p.begin(), kept.p.begin() + t, 0.0);
  double slack = 2e-5 * total;
  return kept.p[static_cast<std::size_t>(token)] > 0 && u * total > before - slack &&
         u * total < before + kept.p[static_cast<std::size_t>(token)] + slack;
}

}  // namespace moemill::sample::test
