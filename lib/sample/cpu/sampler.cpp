#include "sample/cpu/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.hpp"
#include "base/numbers/random.hpp"
#include "base/numbers/rounding.hpp"
#include "kernels/fixed_point.hpp"
#include "kernels/math.hpp"
#include "kernels/rows.hpp"
#include "sample/cpu/workspace.hpp"

namespace moemill::cpu {

using sample::SampleResult;
using sample::ScoreRequest;
using sample::TokenLogprob;

namespace {

constexpr float greedy_below = 1e-5f;  // temperature; vLLM's limit
constexpr Cut keep_all{-1, 0};         // no p is below

bool has_top_k(const SamplingParams& params, std::span<const float> row) {
  return params.top_k > 0 && static_cast<std::size_t>(params.top_k) < row.size();
}
// Whether a draw is from all tokens.
bool has_no_filter(const SamplingParams& params, std::span<const float> row) {
  return params.temperature >= greedy_below && params.top_p >= 1 && params.min_p <= 0 && !has_top_k(params, row);
}

}  // namespace

// The best tokens of the model's own distribution.
void Sampler::Workspace::find_best(Stream& stream, std::span<const float> row, float log_sum_exp,
                                   std::span<TokenLogprob> top) {
  if (top.empty()) return;
  expect(top.size() <= row.size(), "sampler: no more best tokens than the vocabulary has");
  collect(stream, row, maxima, threshold_for(top.size(), maxima, scratch), candidates);
  std::span logits = candidates.logits_used();
  keep_candidates(logits, cut_at_count(logits, top.size(), indices));
  for (std::size_t i = 0; i < top.size(); ++i) top[i] = {candidates.ids[i], candidates.logits[i]};
  std::sort(top.begin(), top.end(), [](const TokenLogprob& a, const TokenLogprob& b) {
    return a.logprob > b.logprob || (a.logprob == b.logprob && a.token < b.token);
  });
  for (TokenLogprob& best : top) best.logprob -= log_sum_exp;
}

void Sampler::Workspace::exp_all(Stream& stream, std::span<const float> row, float scale, float* out) {
  block_sums.clear();
  for (std::size_t first = 0; first < row.size(); first += block_tokens) {
    const std::size_t count = std::min(block_tokens, row.size() - first);
    block_sums.push_back(
        fixed_exp_row(stream, row.subspan(first, count), maxima.largest, scale, out ? out + first : nullptr));
  }
}

float Sampler::Workspace::exp_all_and_total(Stream& stream, std::span<const float> row, float scale) {
  block_sums.resize(divide_up(row.size(), block_tokens));
  const float sum = fixed_exp_blocks(stream, row, maxima.largest, scale, block_tokens, block_sums.data());
  return log_of_sum(maxima.largest, sum).log_sum_exp;
}

std::uint64_t Sampler::Workspace::blocks_total() const {
  return std::accumulate(block_sums.begin(), block_sums.end(), std::uint64_t{0});
}

Sampler::Workspace::BlockDraw Sampler::Workspace::draw_block(std::uint64_t u) const {
  BlockDraw at{0, part_of(blocks_total(), u, uniform_bits)};
  for (; block_sums[at.block] <= at.left; ++at.block) at.left -= block_sums[at.block];
  return at;
}

TokenId Sampler::Workspace::draw_from_blocks(Stream& stream, std::span<const float> row, float scale, Cut cut,
                                             std::uint64_t u) {
  const BlockDraw at = draw_block(u);
  const std::size_t first = at.block * block_tokens, count = std::min(block_tokens, row.size() - first);
  float* here = p.reserve(block_tokens);
  fixed_exp_row(stream, row.subspan(first, count), maxima.largest, scale, here);
  std::uint64_t left = at.left;
  std::size_t i = 0;
  for (; i < count; ++i) {
    const std::uint64_t one = cut.keeps(here[i], first + i) ? to_fixed(here[i]) : 0;
    if (one > left) break;
    left -= one;
  }
  return static_cast<TokenId>(first + i);
}

std::uint64_t Sampler::Workspace::candidates_total() const {
  std::uint64_t total = 0;
  for (float one : candidates.p_used()) total += to_fixed(one);
  return total;
}

TokenId Sampler::Workspace::draw_from_candidates(std::uint64_t u) const {
  std::uint64_t left = part_of(candidates_total(), u, uniform_bits);
  std::size_t i = 0;
  for (; i + 1 < candidates.count; ++i) {
    const std::uint64_t here = to_fixed(candidates.p[i]);
    if (here > left) break;
    left -= here;
  }
  return candidates.ids[i];
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
TokenId Sampler::Workspace::draw_filtered(Stream& stream, std::span<const float> row, const SamplingParams& params,
                                          std::uint64_t u) {
  const float scale = 1.0f / params.temperature;
  float threshold = lowest;
  if (params.min_p > 0) {  // the logit at which p falls below min_p, a little lowered against rounding
    double x = static_cast<double>(maxima.largest) +
               static_cast<double>(params.temperature) * (math::log(static_cast<double>(params.min_p)) - 1e-3);
    threshold = static_cast<float>(std::max(x, static_cast<double>(lowest)));
  }
  if (has_top_k(params, row))
    threshold = std::max(threshold, threshold_for(static_cast<std::size_t>(params.top_k), maxima, scratch));
  collect(stream, row, maxima, threshold, candidates);
  fixed_exp_row(stream, candidates.logits_used(), maxima.largest, scale, candidates.p.data());
  if (params.min_p > 0) keep_candidates(candidates.p_used(), {params.min_p, candidates.count});
  if (params.top_k > 0 && candidates.count > static_cast<std::size_t>(params.top_k)) {
    std::span logits = candidates.logits_used();
    keep_candidates(logits, cut_at_count(logits, static_cast<std::size_t>(params.top_k), indices));
  }
  if (params.top_p < 1) {
    const std::uint64_t target = part_of(candidates_total(), to_fixed(params.top_p), fixed_bits);
    keep_candidates(candidates.p_used(), cut_at_sum.find(candidates.p_used(), target));
  }
  return draw_from_candidates(u);
}

TokenId Sampler::Workspace::draw(Stream& stream, std::span<const float> row, const SamplingParams& params,
                                 std::uint64_t u) {
  if (params.min_p > 0 || has_top_k(params, row)) return draw_filtered(stream, row, params, u);
  if (params.top_p < 1) return draw_top_p(stream, row, params, u);
  const float scale = 1.0f / params.temperature;
  exp_all(stream, row, scale, nullptr);
  return draw_from_blocks(stream, row, scale, keep_all, u);
}

Sampler::Workspace::Row Sampler::Workspace::row_of(const Logits& logits, std::uint32_t row) {
  const Rows<const float>&values = logits.values, &maxima = logits.maxima;
  Row out{{values.row(row), values.width}, {}};
  if (maxima) out.maxima = {maxima.row(row), maxima.width};
  return out;
}

void Sampler::Workspace::find_row_maxima(Stream& stream, const Row& row) {
  row.maxima.empty() ? find_maxima(stream, row.logits, maxima) : find_maxima(row.logits, row.maxima, maxima);
}

float Sampler::Workspace::score(Stream& stream, const Row& row, TokenId target) {
  find_row_maxima(stream, row);
  const LogSumExp sum =
      maxima.finite ? log_sum_exp(stream, row.logits, maxima.largest) : log_sum_exp(stream, row.logits);
  return row.logits[static_cast<std::size_t>(target)] - sum.log_sum_exp;
}

SampleResult Sampler::Workspace::sample(Stream& stream, const Row& own, const SampleRequest& request) {
  const SamplingParams& params = *request.params;
  std::span<const float> row = own.logits;
  find_row_maxima(stream, own);
  if (!maxima.finite) return {};

  // A draw from the model's own distribution shares a pass with its log-probability.
  const bool draws_own = has_no_filter(params, row) && !needs_adjustment(request);
  float log_sum_exp = std::numeric_limits<float>::quiet_NaN();
  if (params.logprobs.has_value()) {
    log_sum_exp = draws_own ? exp_all_and_total(stream, row, 1.0f / params.temperature)
                            : cpu::log_sum_exp(stream, row, maxima.largest).log_sum_exp;
    find_best(stream, row, log_sum_exp, request.top);
  }
  if (needs_adjustment(request)) {
    std::span<float> changed(adjusted.reserve(row.size()), row.size());
    std::copy(row.begin(), row.end(), changed.begin());
    adjuster.adjust(request, changed);
    row = changed;
    find_maxima(stream, row, maxima);
    if (!std::isfinite(maxima.largest)) return {};
  }

  SampleResult result;
  if (params.temperature < greedy_below) {
    result.token = maxima.best;
  } else {
    const std::array<std::uint32_t, 4> random = philox(request.seed, request.generated.size());
    const std::uint64_t u = uniform_53(random[1], random[0]);
    result.token = draws_own && params.logprobs.has_value()
                       ? draw_from_blocks(stream, row, 1.0f / params.temperature, keep_all, u)
                       : draw(stream, row, params, u);
  }
  result.finite = true;
  result.logprob = own.logits[static_cast<std::size_t>(result.token)] - log_sum_exp;
  return result;
}

Sampler::Sampler(Stream& stream, std::uint32_t vocabulary) : stream_(stream), vocabulary_(vocabulary) {
  expect(vocabulary > 0, "sampler: there is a vocabulary");
  for (int t = 0; t < stream.team().size(); ++t) workspaces_.push_back(std::make_unique<Workspace>(vocabulary));
}

Sampler::~Sampler() = default;

void Sampler::sample(const Logits& logits, std::uint32_t first, std::span<const SampleRequest> requests,
                     std::span<SampleResult> results) {
  expect(requests.size() == results.size() && logits.values.width == vocabulary_, "sampler: one result per request");
  stream_.team().parallel_for(requests.size(), 1, [&](std::size_t begin, std::size_t end, int thread) {
    Workspace& workspace = *workspaces_[static_cast<std::size_t>(thread)];
    for (std::size_t i = begin; i < end; ++i) {
      results[i] = workspace.sample(stream_, Workspace::row_of(logits, requests[i].row - first), requests[i]);
      stream_.between_pieces(thread);
    }
  });
}

void Sampler::score(const Logits& logits, std::uint32_t first, std::span<const ScoreRequest> requests,
                    std::span<float> logprobs) {
  expect(requests.size() == logprobs.size() && logits.values.width == vocabulary_, "sampler: one score per request");
  stream_.team().parallel_for(requests.size(), 1, [&](std::size_t begin, std::size_t end, int thread) {
    Workspace& workspace = *workspaces_[static_cast<std::size_t>(thread)];
    for (std::size_t i = begin; i < end; ++i) {
      logprobs[i] = workspace.score(stream_, Workspace::row_of(logits, requests[i].row - first), requests[i].target);
      stream_.between_pieces(thread);
    }
  });
}

}  // namespace moemill::cpu
