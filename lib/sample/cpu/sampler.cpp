#include "sample/cpu/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/buffer.hpp"
#include "base/error.hpp"
#include "base/random.hpp"
#include "kernels/math.hpp"
#include "kernels/rows.hpp"
#include "sample/cpu/adjust.hpp"
#include "sample/cpu/scan.hpp"

namespace moemill::cpu {

using sample::SampleResult;
using sample::ScoreRequest;
using sample::TokenLogprob;

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
  CutAtSum cut_at_sum;
  Buffer<float> adjusted;          // [vocabulary]
  Buffer<float> p;                 // [vocabulary]
  std::vector<double> block_sums;  // of p
  std::vector<float> scratch;
  std::vector<std::uint32_t> indices;

  SampleResult sample(Stream& stream, std::span<const float> logits, const SampleRequest& request);
  void find_best(std::span<const float> row, float log_sum_exp, std::span<TokenLogprob> top);
  TokenId draw(Stream& stream, std::span<const float> row, const SamplingParams& params, double u);
  double exp_all(Stream& stream, std::span<const float> row, float scale);
  void drop_from_all(std::size_t vocabulary, Cut cut);
  TokenId draw_from_all(std::size_t vocabulary, double u) const;
  TokenId draw_from_candidates(double u) const;
  double candidates_total() const;
  void keep_candidates(std::span<const float> values, Cut cut);
};

// The best tokens of the model's own distribution.
void Sampler::Workspace::find_best(std::span<const float> row, float log_sum_exp, std::span<TokenLogprob> top) {
  if (top.empty()) return;
  expect(top.size() <= row.size(), "sampler: no more best tokens than the vocabulary has");
  collect(row, maxima, threshold_for(top.size(), maxima, scratch), candidates);
  std::span logits = candidates.logits_used();
  keep_candidates(logits, cut_at_count(logits, top.size(), indices));
  for (std::size_t i = 0; i < top.size(); ++i) top[i] = {candidates.ids[i], candidates.logits[i]};
  std::sort(top.begin(), top.end(), [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob > b.logprob || (a.logprob == b.logprob && a.token < b.token);
  });
  for (TokenLogprob& best : top) best.logprob -= log_sum_exp;
}

// p of the whole row and its blocks' sums; returns their sum.
double Sampler::Workspace::exp_all(Stream& stream, std::span<const float> row, float scale) {
  float* out = p.reserve(row.size());
  block_sums.clear();
  double total = 0;
  for (std::size_t first = 0; first < row.size(); first += block_tokens) {
    std::size_t count = std::min(block_tokens, row.size() - first);
    block_sums.push_back(
        static_cast<double>(exp_row(stream, row.subspan(first, count), maxima.largest, scale, out + first)));
    total += block_sums.back();
  }
  return total;
}

// p beyond the cut becomes zero; the sums of the blocks follow, over sixteen lanes as all sums of p.
void Sampler::Workspace::drop_from_all(std::size_t vocabulary, Cut cut) {
  constexpr std::size_t lanes = 16;
  for (std::size_t b = 0; b < block_sums.size(); ++b) {
    float sum[lanes] = {};
    std::size_t first = b * block_tokens, end = std::min(first + block_tokens, vocabulary);
    // Ties of the cut are kept up to its index: below it, values just under the cut's are the first that go.
    bool ties_stay = end <= cut.index + 1, ties_go = first > cut.index;
    for (std::size_t i = first; i < end; i += lanes) {
      if ((ties_stay || ties_go) && i + lanes <= end) {
        float* x = &p[i];
        for (std::size_t l = 0; l < lanes; ++l) {
          float kept = ties_stay ? (x[l] >= cut.value ? x[l] : 0.0f) : (x[l] > cut.value ? x[l] : 0.0f);
          x[l] = kept;
          sum[l] += kept;
        }
      } else {
        for (std::size_t l = 0; l < lanes && i + l < end; ++l) {
          if (!cut.keeps(p[i + l], i + l)) p[i + l] = 0;
          sum[l] += p[i + l];
        }
      }
    }
    for (std::size_t half = lanes / 2; half > 0; half /= 2) {
      for (std::size_t l = 0; l < half; ++l) sum[l] += sum[l + half];
    }
    block_sums[b] = static_cast<double>(sum[0]);
  }
}

// The first token whose cumulative p exceeds u times the total. Rounding may leave that just beyond what a block's
// tokens sum to: then it is the last token there that has any p.
TokenId Sampler::Workspace::draw_from_all(std::size_t vocabulary, double u) const {
  double total = 0;
  for (double sum : block_sums) total += sum;
  const double target = u * total;
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

// `values` are the candidates' p or logits: what the cut was made in.
void Sampler::Workspace::keep_candidates(std::span<const float> values, Cut cut) {
  std::size_t n = 0, count = candidates.count;
  for (std::size_t i = 0; i < count; ++i) {
    bool keeps = cut.keeps(values[i], i);
    candidates.ids[n] = candidates.ids[i];
    candidates.p[n] = candidates.p[i];
    candidates.logits[n] = candidates.logits[i];
    n += keeps ? 1 : 0;
  }
  candidates.count = n;
}

// min_p and top_k leave few tokens: only those above a logit that is surely below what they keep are looked at.
// Otherwise p of the whole row is needed.
TokenId Sampler::Workspace::draw(Stream& stream, std::span<const float> row, const SamplingParams& params, double u) {
  const float scale = 1.0f / params.temperature;
  const double top_p = static_cast<double>(params.top_p);
  const bool top_k = params.top_k > 0 && static_cast<std::size_t>(params.top_k) < row.size();
  if (params.min_p <= 0 && !top_k) {
    const double total = exp_all(stream, row, scale);
    if (top_p < 1) drop_from_all(row.size(), cut_at_sum.find(std::span(p.data(), row.size()), top_p * total));
    return draw_from_all(row.size(), u);
  }

  float threshold = lowest;
  if (params.min_p > 0) {  // the logit at which p falls below min_p, a little lowered against rounding
    double x = static_cast<double>(maxima.largest) +
               static_cast<double>(params.temperature) * (math::log(static_cast<double>(params.min_p)) - 1e-3);
    threshold = static_cast<float>(std::max(x, static_cast<double>(lowest)));
  }
  if (top_k) threshold = std::max(threshold, threshold_for(static_cast<std::size_t>(params.top_k), maxima, scratch));
  collect(row, maxima, threshold, candidates);
  exp_row(stream, candidates.logits_used(), maxima.largest, scale, candidates.p.data());
  if (params.min_p > 0) keep_candidates(candidates.p_used(), {params.min_p, candidates.count});
  if (top_k && candidates.count > static_cast<std::size_t>(params.top_k)) {
    std::span logits = candidates.logits_used();
    keep_candidates(logits, cut_at_count(logits, static_cast<std::size_t>(params.top_k), indices));
  }
  if (top_p < 1) keep_candidates(candidates.p_used(), cut_at_sum.find(candidates.p_used(), top_p * candidates_total()));
  return draw_from_candidates(u);
}

SampleResult Sampler::Workspace::sample(Stream& stream, std::span<const float> logits, const SampleRequest& request) {
  const SamplingParams& params = *request.params;
  std::span<const float> row = logits;
  find_maxima(row, maxima);
  if (!maxima.finite) return {};

  float log_sum_exp = std::numeric_limits<float>::quiet_NaN();
  if (params.logprobs.has_value()) {
    log_sum_exp = cpu::log_sum_exp(stream, row).log_sum_exp;
    find_best(row, log_sum_exp, request.top);
  }
  if (needs_adjustment(request)) {
    std::span<float> own(adjusted.reserve(row.size()), row.size());
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
  result.logprob = logits[static_cast<std::size_t>(result.token)] - log_sum_exp;
  return result;
}

Sampler::Sampler(Stream& stream, std::uint32_t vocabulary) : stream_(stream), vocabulary_(vocabulary) {
  expect(vocabulary > 0, "sampler: there is a vocabulary");
  for (int t = 0; t < stream.team().size(); ++t) workspaces_.push_back(std::make_unique<Workspace>(vocabulary));
}

Sampler::~Sampler() = default;

void Sampler::sample(Rows<const float> logits, std::uint32_t first, std::span<const SampleRequest> requests,
                     std::span<SampleResult> results) {
  expect(requests.size() == results.size() && logits.width == vocabulary_, "sampler: one result per request");
  stream_.team().parallel_for(requests.size(), 1, [&](std::size_t begin, std::size_t end, int thread) {
    Workspace& workspace = *workspaces_[static_cast<std::size_t>(thread)];
    for (std::size_t i = begin; i < end; ++i) {
      const std::span<const float> row(logits.row(requests[i].row - first), vocabulary_);
      results[i] = workspace.sample(stream_, row, requests[i]);
    }
  });
}

void Sampler::score(Rows<const float> logits, std::uint32_t first, std::span<const ScoreRequest> requests,
                    std::span<float> logprobs) {
  expect(requests.size() == logprobs.size() && logits.width == vocabulary_, "sampler: one score per request");
  stream_.team().parallel_for(requests.size(), 1, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::span<const float> row(logits.row(requests[i].row - first), vocabulary_);
      logprobs[i] = row[static_cast<std::size_t>(requests[i].target)] - log_sum_exp(stream_, row).log_sum_exp;
    }
  });
}

}  // namespace moemill::cpu
