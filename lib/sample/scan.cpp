#include "sample/scan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moemill::sample {
namespace {

constexpr std::size_t lanes = 16;

// Largest of one whole chunk; adds a NaN to `poison` for each value that is NaN or infinite.
float chunk_maximum(const float* x, float* poison) {
  float best[lanes], bad[lanes];
  for (std::size_t l = 0; l < lanes; ++l) best[l] = x[l], bad[l] = x[l] - x[l];
  for (std::size_t i = lanes; i < chunk_tokens; i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) {
      best[l] = x[i + l] > best[l] ? x[i + l] : best[l];
      bad[l] += x[i + l] - x[i + l];
    }
  }
  for (std::size_t half = lanes / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) {
      best[l] = best[l + half] > best[l] ? best[l + half] : best[l];
      bad[l] += bad[l + half];
    }
  }
  *poison += bad[0];
  return best[0];
}

bool is_first(float a, TokenId a_id, float b, TokenId b_id) { return a > b || (a == b && a_id < b_id); }

}  // namespace

void find_maxima(std::span<const float> row, Maxima& maxima) {
  std::size_t chunks = (row.size() + chunk_tokens - 1) / chunk_tokens;
  std::size_t whole = row.size() / chunk_tokens;
  maxima.chunks.resize(chunks);
  float poison = 0;
  for (std::size_t c = 0; c < whole; ++c) maxima.chunks[c] = chunk_maximum(&row[c * chunk_tokens], &poison);
  if (whole < chunks) {
    float rest[chunk_tokens];
    for (std::size_t i = 0; i < chunk_tokens; ++i) {
      std::size_t token = whole * chunk_tokens + i;
      rest[i] = row[token < row.size() ? token : row.size() - 1];  // repeated: changes no maximum
    }
    maxima.chunks[whole] = chunk_maximum(rest, &poison);
  }
  maxima.finite = poison == 0;
  std::size_t first = 0;
  for (std::size_t c = 1; c < chunks; ++c) {
    if (maxima.chunks[c] > maxima.chunks[first]) first = c;
  }
  maxima.largest = maxima.chunks[first];
  std::size_t token = first * chunk_tokens;
  while (token + 1 < row.size() && row[token] != maxima.largest) ++token;
  maxima.best = static_cast<TokenId>(token);
}

void collect(std::span<const float> row, const Maxima& maxima, float threshold, Candidates& candidates) {
  candidates.ids.resize(row.size());
  candidates.logits.resize(row.size());
  candidates.p.resize(row.size());
  std::size_t n = 0;
  for (std::size_t c = 0; c < maxima.chunks.size(); ++c) {
    if (maxima.chunks[c] < threshold) continue;
    std::size_t end = std::min(row.size(), (c + 1) * chunk_tokens);
    for (std::size_t i = c * chunk_tokens; i < end; ++i) {  // no branch: where some pass, many may
      candidates.ids[n] = static_cast<TokenId>(i);
      candidates.logits[n] = row[i];
      n += row[i] >= threshold ? 1 : 0;
    }
  }
  candidates.count = n;
}

float threshold_for(std::size_t count, const Maxima& maxima, std::vector<float>& scratch) {
  if (count == 0 || count > maxima.chunks.size()) return std::numeric_limits<float>::lowest();
  scratch.assign(maxima.chunks.begin(), maxima.chunks.end());
  auto nth = scratch.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(scratch.begin(), nth, scratch.end(), [](float a, float b) { return a > b; });
  return std::max(*nth, std::numeric_limits<float>::lowest());
}

Cut CutFinder::find(const Candidates& candidates, Weight weight, double target) {
  std::span logits = std::span(candidates.logits).first(candidates.count);
  auto [low, high] = std::minmax_element(logits.begin(), logits.end());
  double largest = *high;
  double scale = *high > *low ? static_cast<double>(buckets_ - 1) / (largest - *low) : 0;
  // Both operations are monotone, so no token of a bucket comes before one of an earlier bucket.
  auto bucket = [&](std::size_t i) { return static_cast<std::size_t>((largest - logits[i]) * scale); };
  auto weight_of = [&](std::size_t i) { return weight == Weight::One ? 1.0 : static_cast<double>(candidates.p[i]); };

  weights_.assign(buckets_, 0);
  for (std::size_t i = 0; i < candidates.count; ++i) weights_[bucket(i)] += weight_of(i);
  double reached = 0;
  std::size_t b = 0, last = 0;  // the bucket in which the target is reached, or the last that has anything
  for (; b < buckets_; ++b) {
    if (weights_[b] > 0) last = b;
    if (reached + weights_[b] >= target && weights_[b] > 0) break;
    reached += weights_[b];
  }
  if (b == buckets_) b = last, reached -= weights_[last];

  boundary_.clear();
  for (std::size_t i = 0; i < candidates.count; ++i) {
    if (bucket(i) == b) boundary_.push_back(static_cast<std::uint32_t>(i));
  }
  std::sort(boundary_.begin(), boundary_.end(), [&](std::uint32_t i, std::uint32_t j) {
    return is_first(logits[i], candidates.ids[i], logits[j], candidates.ids[j]);
  });
  std::size_t kept = 0;
  do reached += weight_of(boundary_[kept++]);
  while (kept < boundary_.size() && reached < target);
  std::uint32_t end = boundary_[kept - 1];
  return {logits[end], candidates.ids[end]};
}

}  // namespace moemill::sample
