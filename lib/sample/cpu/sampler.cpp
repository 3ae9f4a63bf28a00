#include "sample/cpu/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/buffer.hpp"
#include "base/error.hpp"
#include "base/numbers/random.hpp"
#include "kernels/fixed_point.hpp"
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
  Maxima maxima;  // of the current row
  Candidates candidates;
  CutAtSum cut_at_sum;
  Buffer<float> adjusted;                 // [vocabulary]
  Buffer<float> p;                        // [vocabulary]
  std::vector<std::uint64_t> block_sums;  // [blocks] fixed-point sums of p
  std::vector<float> scratch;
  std::vector<std::uint32_t> indices;

  SampleResult sample(Stream& stream, std::span<const float> logits, const SampleRequest& request);
  void find_best(std::span<const float> row, float log_sum_exp, std::span<TokenLogprob> top);
  TokenId draw(Stream& stream, std::span<const float> row, const SamplingParams& params, std::uint64_t u);
  void exp_all(Stream& stream, std::span<const float> row, float scale, float* out);
  TokenId draw_whole(Stream& stream, std::span<const float> row, float scale, std::uint64_t u);
  TokenId draw_top_p(Stream& stream, std::span<const float> row, const SamplingParams& params, std::uint64_t u);
  bool keep_top_p(Stream& stream, std::span<const float> row, float scale, float threshold, std::uint64_t share);
  std::uint64_t blocks_total() const { return std::accumulate(block_sums.begin(), block_sums.end(), std::uint64_t{0}); }
  void drop_from_all(Stream& stream, std::size_t vocabulary, Cut cut);
  struct BlockDraw {
    std::size_t block;
    std::uint64_t left;  // what the sum up to the drawn token of the block must exceed
  };
  BlockDraw draw_block(std::uint64_t u) const;
  TokenId draw_from_all(std::size_t vocabulary, std::uint64_t u) const;
  TokenId draw_from_candidates(std::uint64_t u) const;
  std::uint64_t candidates_total() const;
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

// Fills block_sums for the whole row, and p where it is wanted.
void Sampler::Workspace::exp_all(Stream& stream, std::span<const float> row, float scale, float* out) {
  block_sums.clear();
  for (std::size_t first = 0; first < row.size(); first += block_tokens) {
    const std::size_t count = std::min(block_tokens, row.size() - first);
    block_sums.push_back(
        fixed_exp_row(stream, row.subspan(first, count), maxima.largest, scale, out ? out + first : nullptr));
  }
}

// Sets p beyond the cut to zero and sums the blocks again. Ties with the cut's value are kept up to its index, so in
// most blocks all ties stay or all go, and one comparison per token decides.
void Sampler::Workspace::drop_from_all(Stream& stream, std::size_t vocabulary, Cut cut) {
  for (std::size_t b = 0; b < block_sums.size(); ++b) {
    const std::size_t first = b * block_tokens, end = std::min(first + block_tokens, vocabulary);
    if (end <= cut.index + 1) {
      for (std::size_t i = first; i < end; ++i) p[i] = p[i] >= cut.value ? p[i] : 0.0f;
    } else if (first > cut.index) {
      for (std::size_t i = first; i < end; ++i) p[i] = p[i] > cut.value ? p[i] : 0.0f;
    } else {
      for (std::size_t i = first; i < end; ++i) p[i] = cut.keeps(p[i], i) ? p[i] : 0.0f;
    }
    block_sums[b] = fixed_sum(stream, {&p[first], end - first});
  }
}

Sampler::Workspace::BlockDraw Sampler::Workspace::draw_block(std::uint64_t u) const {
  BlockDraw at{0, part_of(blocks_total(), u, uniform_bits)};
  for (; block_sums[at.block] <= at.left; ++at.block) at.left -= block_sums[at.block];
  return at;
}

TokenId Sampler::Workspace::draw_from_all(std::size_t vocabulary, std::uint64_t u) const {
  const BlockDraw at = draw_block(u);
  std::uint64_t left = at.left;
  std::size_t i = at.block * block_tokens;
  for (; i < vocabulary; ++i) {
    const std::uint64_t here = to_fixed(p[i]);
    if (here > left) break;
    left -= here;
  }
  return static_cast<TokenId>(i);
}

// No filter: p is wanted in one block alone.
TokenId Sampler::Workspace::draw_whole(Stream& stream, std::span<const float> row, float scale, std::uint64_t u) {
  exp_all(stream, row, scale, nullptr);
  p.reserve(row.size());
  const std::size_t first = draw_block(u).block * block_tokens, count = std::min(block_tokens, row.size() - first);
  fixed_exp_row(stream, row.subspan(first, count), maxima.largest, scale, p.data() + first);
  return draw_from_all(row.size(), u);
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

// top_p over all tokens. block_sums are those of the row. Keeps the candidates if those above the threshold surely hold
// the cut: p of other tokens is below the cut's, however exp rounds.
bool Sampler::Workspace::keep_top_p(Stream& stream, std::span<const float> row, float scale, float threshold,
                                    std::uint64_t share) {
  collect(row, maxima, threshold, candidates);
  const std::uint64_t target = part_of(blocks_total(), share, fixed_bits);
  if (fixed_exp_row(stream, candidates.logits_used(), maxima.largest, scale, candidates.p.data()) < target)
    return false;
  float others = 0;
  fixed_exp_row(stream, {&threshold, 1}, maxima.largest, scale, &others);
  const Cut cut = cut_at_sum.find(candidates.p_used(), target);
  if (cut.value <= others * 1.00001f) return false;
  keep_candidates(candidates.p_used(), cut);
  return true;
}

// A trained model's few likely tokens are found without p of the others: first those of at least 1/128 of the largest
// p, where they are few, then as many as surely hold the cut, because the others' p are too small to add up to what
// top_p leaves out. Flat rows, as the first tokens tell, need all.
TokenId Sampler::Workspace::draw_top_p(Stream& stream, std::span<const float> row, const SamplingParams& params,
                                       std::uint64_t u) {
  const float scale = 1.0f / params.temperature;
  const std::uint64_t share = to_fixed(params.top_p);  // of 2^fixed_bits
  const auto logit_of = [&](double least_p) {
    return maxima.largest + params.temperature * static_cast<float>(math::log(least_p));
  };
  const auto above = [](std::span<const float> values, float threshold) {
    return static_cast<std::size_t>(
        std::count_if(values.begin(), values.end(), [&](float value) { return value >= threshold; }));
  };
  const std::span<const float> some = row.first(std::min(row.size(), block_tokens));
  if (above(some, logit_of(0x1p-10)) <= some.size() / 16) {
    exp_all(stream, row, scale, nullptr);
    const float likely = logit_of(0x1p-7);
    if (above(maxima.chunks, likely) <= maxima.chunks.size() / 4 && keep_top_p(stream, row, scale, likely, share))
      return draw_from_candidates(u);
    const double mean_p = static_cast<double>(blocks_total()) * 0x1p-40 / static_cast<double>(row.size());
    const float enough = logit_of((1 - static_cast<double>(params.top_p)) * mean_p);
    if (keep_top_p(stream, row, scale, enough, share)) return draw_from_candidates(u);
  }
  exp_all(stream, row, scale, p.reserve(row.size()));
  const std::uint64_t target = part_of(blocks_total(), share, fixed_bits);
  drop_from_all(stream, row.size(), cut_at_sum.find(std::span(p.data(), row.size()), target));
  return draw_from_all(row.size(), u);
}

// min_p and top_k leave few tokens: only those above a logit that is surely below what they keep are looked at.
TokenId Sampler::Workspace::draw(Stream& stream, std::span<const float> row, const SamplingParams& params,
                                 std::uint64_t u) {
  const float scale = 1.0f / params.temperature;
  const bool top_p = params.top_p < 1;
  const bool top_k = params.top_k > 0 && static_cast<std::size_t>(params.top_k) < row.size();
  if (params.min_p <= 0 && !top_k)
    return top_p ? draw_top_p(stream, row, params, u) : draw_whole(stream, row, scale, u);

  float threshold = lowest;
  if (params.min_p > 0) {  // the logit at which p falls below min_p, a little lowered against rounding
    double x = static_cast<double>(maxima.largest) +
               static_cast<double>(params.temperature) * (math::log(static_cast<double>(params.min_p)) - 1e-3);
    threshold = static_cast<float>(std::max(x, static_cast<double>(lowest)));
  }
  if (top_k) threshold = std::max(threshold, threshold_for(static_cast<std::size_t>(params.top_k), maxima, scratch));
  collect(row, maxima, threshold, candidates);
  fixed_exp_row(stream, candidates.logits_used(), maxima.largest, scale, candidates.p.data());
  if (params.min_p > 0) keep_candidates(candidates.p_used(), {params.min_p, candidates.count});
  if (top_k && candidates.count > static_cast<std::size_t>(params.top_k)) {
    std::span logits = candidates.logits_used();
    keep_candidates(logits, cut_at_count(logits, static_cast<std::size_t>(params.top_k), indices));
  }
  if (top_p) {
    const std::uint64_t target = part_of(candidates_total(), to_fixed(params.top_p), fixed_bits);
    keep_candidates(candidates.p_used(), cut_at_sum.find(candidates.p_used(), target));
  }
  return draw_from_candidates(u);
}

SampleResult Sampler::Workspace::sample(Stream& stream, std::span<const float> logits, const SampleRequest& request) {
  const SamplingParams& params = *request.params;
  std::span<const float> row = logits;
  find_maxima(stream, row, maxima);
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
    find_maxima(stream, row, maxima);
    if (!std::isfinite(maxima.largest)) return {};
  }

  SampleResult result;
  if (params.temperature < greedy_below) {
    result.token = maxima.best;
  } else {
    std::array<std::uint32_t, 4> random = philox(request.seed, request.generated.size());
    result.token = draw(stream, row, params, uniform_53(random[1], random[0]));
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
