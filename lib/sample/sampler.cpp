#include "sample/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/aligned.hpp"
#include "base/error.hpp"
#include "base/random.hpp"
#include "kernels/math.hpp"
#include "kernels/rows.hpp"
#include "sample/adjust.hpp"
#include "sample/scan.hpp"

namespace moemill::sample {
namespace {

constexpr float greedy_below = 1e-5f;       // temperature; vLLM's limit
constexpr std::size_t block_tokens = 1024;  // p is summed by blocks: a draw looks into one of them
constexpr float lowest = std::numeric_limits<float>::lowest();

}  // namespace

struct Sampler::Workspace {
  explicit Workspace(std::uint32_t vocabulary) : adjuster(vocabulary) {}

  Adjuster adjuster;
  Maxima maxima;  // of the row at hand
  Candidates candidates;
  CutFinder cut_finder;
  AlignedBuffer<float> adjusted;   // [vocabulary]
  AlignedBuffer<float> p;          // [vocabulary]
  std::vector<double> block_sums;  // of p
  std::vector<float> scratch;

  SampleResult sample(cpu::Stream& stream, std::uint32_t vocabulary, const SampleRequest& request);
  void find_best(std::span<const float> row, float log_sum_exp, std::span<TokenLogprob> top);
  TokenId draw(cpu::Stream& stream, std::span<const float> row, const SamplingParams& params, double u);
  double exp_all(cpu::Stream& stream, std::span<const float> row, float scale);
  TokenId draw_from_all(std::size_t vocabulary, double target) const;
  TokenId draw_from_candidates(double u) const;
  double candidates_total() const;
  void keep(Cut cut);
};

// The best tokens of the model's own distribution.
void Sampler::Workspace::find_best(std::span<const float> row, float log_sum_exp, std::span<TokenLogprob> top) {
  if (top.empty()) return;
  expect(top.size() <= row.size(), "sampler: no more best tokens than the vocabulary has");
  collect(row, maxima, threshold_for(top.size(), maxima, scratch), candidates);
  keep(cut_finder.find(candidates, Weight::One, static_cast<double>(top.size())));
  for (std::size_t i = 0; i < top.size(); ++i) top[i] = {candidates.ids[i], candidates.logits[i]};
  std::sort(top.begin(), top.end(), [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob > b.logprob || (a.logprob == b.logprob && a.token < b.token);
  });
  for (TokenLogprob& best : top) best.logprob -= log_sum_exp;
}

// p of the whole row and its blocks' sums; returns their sum.
double Sampler::Workspace::exp_all(cpu::Stream& stream, std::span<const float> row, float scale) {
  float* out = p.reserve(row.size());
  block_sums.clear();
  double total = 0;
  for (std::size_t first = 0; first < row.size(); first += block_tokens) {
    std::size_t count = std::min(block_tokens, row.size() - first);
    block_sums.push_back(
        static_cast<double>(cpu::exp_row(stream, row.data() + first, count, maxima.largest, scale, out + first)));
    total += block_sums.back();
  }
  return total;
}

// The first token whose cumulative p exceeds the target. Rounding may leave the target just beyond what a block's
// tokens sum to: then it is the last token there that has any p.
TokenId Sampler::Workspace::draw_from_all(std::size_t vocabulary, double target) const {
  std::size_t block = 0;
  double before = 0, cumulative = 0;
  for (std::size_t b = 0; b < block_sums.size() && cumulative <= target; ++b) {
    if (block_sums[b] == 0) continue;
    block = b, before = cumulative;
    cumulative += block_sums[b];
  }
  std::size_t end = std::min((block + 1) * block_tokens, vocabulary);
  TokenId token = -1;
  for (std::size_t i = block * block_tokens; i < end && before <= target; ++i) {
    if (p[i] == 0) continue;
    token = static_cast<TokenId>(i);
    before += static_cast<double>(p[i]);
  }
  return token;
}

double Sampler::Workspace::candidates_total() const {
  double total = 0;
  for (std::size_t i = 0; i < candidates.count; ++i) total += static_cast<double>(candidates.p[i]);
  return total;
}

TokenId Sampler::Workspace::draw_from_candidates(double u) const {
  double target = u * candidates_total(), before = 0;
  TokenId token = -1;
  for (std::size_t i = 0; i < candidates.count && before <= target; ++i) {
    if (candidates.p[i] == 0) continue;
    token = candidates.ids[i];
    before += static_cast<double>(candidates.p[i]);
  }
  return token;
}

void Sampler::Workspace::keep(Cut cut) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < candidates.count; ++i) {
    candidates.ids[n] = candidates.ids[i];
    candidates.p[n] = candidates.p[i];
    candidates.logits[n] = candidates.logits[i];
    n += cut.keeps(candidates.logits[i], candidates.ids[i]) ? 1 : 0;
  }
  candidates.count = n;
}

// Filters work on candidates: the tokens above a logit that is surely below everything they keep.
TokenId Sampler::Workspace::draw(cpu::Stream& stream, std::span<const float> row, const SamplingParams& params,
                                 double u) {
  const double temperature = static_cast<double>(params.temperature);
  const float scale = 1.0f / params.temperature;
  const double min_p = static_cast<double>(params.min_p), top_p = static_cast<double>(params.top_p);
  const bool top_k = params.top_k > 0 && static_cast<std::size_t>(params.top_k) < row.size();
  // The logit at which p falls below `bound`, a little lowered against rounding.
  auto logit_at = [&](double bound) {
    double x = static_cast<double>(maxima.largest) + temperature * (math::log(bound) - 1e-3);
    return static_cast<float>(std::max(x, static_cast<double>(lowest)));
  };

  float threshold = lowest;
  if (min_p > 0) threshold = logit_at(min_p);
  if (top_k) threshold = std::max(threshold, threshold_for(static_cast<std::size_t>(params.top_k), maxima, scratch));
  double total = 0;
  const bool whole_row = min_p <= 0 && !top_k;
  if (whole_row) {
    total = exp_all(stream, row, scale);
    if (top_p >= 1) return draw_from_all(row.size(), u * total);
    // All tokens below this one together have less than 1 - top_p.
    threshold = logit_at((1 - top_p) * total / static_cast<double>(row.size()));
  }

  collect(row, maxima, threshold, candidates);
  cpu::exp_row(stream, candidates.logits.data(), candidates.count, maxima.largest, scale, candidates.p.data());
  if (min_p > 0) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < candidates.count; ++i) {
      if (candidates.p[i] < params.min_p) continue;
      candidates.ids[n] = candidates.ids[i];
      candidates.logits[n] = candidates.logits[i];
      candidates.p[n++] = candidates.p[i];
    }
    candidates.count = n;
  }
  if (top_k) keep(cut_finder.find(candidates, Weight::One, params.top_k));
  if (top_p < 1) keep(cut_finder.find(candidates, Weight::P, top_p * (whole_row ? total : candidates_total())));
  return draw_from_candidates(u);
}

SampleResult Sampler::Workspace::sample(cpu::Stream& stream, std::uint32_t vocabulary, const SampleRequest& request) {
  const SamplingParams& params = *request.params;
  std::span<const float> row(request.logits, vocabulary);
  find_maxima(row, maxima);
  if (!maxima.finite) return {};

  float log_sum_exp = std::numeric_limits<float>::quiet_NaN();
  if (params.logprobs.has_value()) {
    log_sum_exp = cpu::log_sum_exp(stream, row.data(), row.size()).log_sum_exp;
    find_best(row, log_sum_exp, request.top);
  }
  if (needs_adjustment(request)) {
    std::span<float> own(adjusted.reserve(vocabulary), vocabulary);
    std::copy(row.begin(), row.end(), own.begin());
    adjuster.adjust(request, own);
    row = own;
    find_maxima(row, maxima);
    if (!std::isfinite(maxima.largest)) return {};
  }

  SampleResult result;
  if (params.temperature < greedy_below) {
    result.token = maxima.best;
  } else {
    std::array<std::uint32_t, 4> random = philox(request.seed, request.generated.size());
    result.token = draw(stream, row, params, uniform(random[1], random[0]));
  }
  result.finite = true;
  result.logprob = request.logits[result.token] - log_sum_exp;
  return result;
}

Sampler::Sampler(cpu::Stream& stream, std::uint32_t vocabulary) : stream_(stream), vocabulary_(vocabulary) {
  expect(vocabulary > 0, "sampler: there is a vocabulary");
  for (int t = 0; t < stream.team().size(); ++t) workspaces_.push_back(std::make_unique<Workspace>(vocabulary));
}

Sampler::~Sampler() = default;

void Sampler::sample(std::span<const SampleRequest> requests, std::span<SampleResult> results) {
  expect(requests.size() == results.size(), "sampler: one result a request");
  stream_.team().parallel_for(requests.size(), 1, [&](std::size_t begin, std::size_t end, int thread) {
    Workspace& workspace = *workspaces_[static_cast<std::size_t>(thread)];
    for (std::size_t r = begin; r < end; ++r) results[r] = workspace.sample(stream_, vocabulary_, requests[r]);
  });
}

void score_rows(cpu::Stream& stream, const float* logits, std::size_t stride, std::span<const TokenId> targets,
                std::uint32_t vocabulary, float* logprobs) {
  stream.team().parallel_for(targets.size(), 1, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t r = begin; r < end; ++r) {
      const float* row = logits + r * stride;
      logprobs[r] = row[targets[r]] - cpu::log_sum_exp(stream, row, vocabulary).log_sum_exp;
    }
  });
}

}  // namespace moemill::sample
