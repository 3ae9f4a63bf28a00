#include "sample/cpu/scan.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>

#include "base/numbers/rounding.hpp"
#include "kernels/fixed_point.hpp"
#include "kernels/rows.hpp"

namespace moemill::cpu {

namespace {

// `chunks` is filled in.
void find_best(std::span<const float> row, Maxima& maxima) {
  const std::vector<float>& chunks = maxima.chunks;
  std::size_t first = 0;
  for (std::size_t c = 1; c < chunks.size(); ++c) {
    if (chunks[c] > chunks[first]) first = c;
  }
  maxima.largest = chunks[first];
  std::size_t token = first * maxima_chunk;
  while (token + 1 < row.size() && row[token] != maxima.largest) ++token;
  maxima.best = static_cast<TokenId>(token);
}

}  // namespace

void find_maxima(Stream& stream, std::span<const float> row, Maxima& maxima) {
  maxima.chunks.resize(divide_up(row.size(), maxima_chunk));
  maxima.finite = chunk_maxima(stream, row, maxima.chunks);
  find_best(row, maxima);
}

void find_maxima(std::span<const float> row, std::span<const float> chunks, Maxima& maxima) {
  maxima.chunks.assign(chunks.begin(), chunks.end());
  maxima.finite = true;
  for (float chunk : chunks) maxima.finite &= chunk * 0 == 0;  // not so where it is NaN or infinite
  if (maxima.finite) find_best(row, maxima);
}

void Candidates::reserve(std::size_t vocabulary) {
  ids.resize(vocabulary + selected_slack), logits.resize(ids.size()), p.resize(ids.size());
}

void Candidates::add(Stream& stream, std::span<const float> part, std::size_t first, float low, float high) {
  auto* to = reinterpret_cast<std::uint32_t*>(ids.data() + count);  // none is negative
  count += select_between(stream, part, low, high, static_cast<std::uint32_t>(first), to, logits.data() + count);
}

// Neighbouring chunks with such tokens are one part.
void collect(Stream& stream, std::span<const float> row, const Maxima& maxima, float threshold,
             Candidates& candidates) {
  candidates.reserve(row.size());
  candidates.count = 0;
  const std::vector<float>& chunks = maxima.chunks;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    if (chunks[c] < threshold) continue;
    const std::size_t first = c * maxima_chunk;
    while (c + 1 < chunks.size() && chunks[c + 1] >= threshold) ++c;
    const std::size_t end = std::min(row.size(), (c + 1) * maxima_chunk);
    candidates.add(stream, row.subspan(first, end - first), first, threshold, std::numeric_limits<float>::infinity());
  }
}

float threshold_for(std::size_t count, const Maxima& maxima, std::vector<float>& scratch) {
  if (count == 0 || count > maxima.chunks.size()) return std::numeric_limits<float>::lowest();
  scratch.assign(maxima.chunks.begin(), maxima.chunks.end());
  auto nth = scratch.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(scratch.begin(), nth, scratch.end(), [](float a, float b) { return a > b; });
  return std::max(*nth, std::numeric_limits<float>::lowest());
}

Cut cut_at_count(std::span<const float> values, std::size_t count, std::vector<std::uint32_t>& scratch) {
  scratch.resize(values.size());
  std::iota(scratch.begin(), scratch.end(), 0u);
  auto last = scratch.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(scratch.begin(), last, scratch.end(), [&](std::uint32_t i, std::uint32_t j) {
    return values[i] > values[j] || (values[i] == values[j] && i < j);
  });
  return {values[*last], *last};
}

Cut CutAtSum::find(std::span<const float> p, std::uint64_t target) {
  // As integers, the bits of values in [0, 1] have the order of the values. The leading bits are the exponent and the
  // first three bits of the mantissa.
  auto leading = [&](std::size_t i) { return std::bit_cast<std::uint32_t>(p[i]) >> 20; };
  auto next = [&](std::size_t i) { return std::bit_cast<std::uint32_t>(p[i]) >> 10 & (buckets_ - 1); };
  // The sum of the buckets before the one that reaches the target, or before the last one that is not empty.
  std::uint64_t reached = 0;
  auto find_bucket = [&](std::span<const std::uint64_t> sums) {
    std::size_t found = 0;
    std::uint64_t before = reached;
    for (std::size_t b = buckets_; b-- > 0;) {
      if (sums[b] == 0) continue;
      found = b, reached = before;
      before += sums[b];
      if (before >= target) break;
    }
    return found;
  };

  for (auto& sums : sums_) sums.fill(0);
  for (std::size_t i = 0; i < p.size(); ++i) sums_[i % 4][leading(i)] += to_fixed(p[i]);
  for (std::size_t b = 0; b < buckets_; ++b) sums_[0][b] += sums_[1][b] + sums_[2][b] + sums_[3][b];
  const std::size_t first_bucket = find_bucket(sums_[0]);
  band_.resize(p.size());
  std::size_t in_band = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {  // no branch: a tenth of a flat row may pass
    band_[in_band] = static_cast<std::uint32_t>(i);
    in_band += leading(i) == first_bucket ? 1 : 0;
  }
  band_.resize(in_band);

  sums_[0].fill(0);
  for (std::uint32_t i : band_) sums_[0][next(i)] += to_fixed(p[i]);
  const std::size_t second_bucket = find_bucket(sums_[0]);
  narrow_.clear();
  for (std::uint32_t i : band_) {
    if (next(i) == second_bucket && p[i] > 0) narrow_.push_back(i);
  }
  std::sort(narrow_.begin(), narrow_.end(),
            [&](std::uint32_t i, std::uint32_t j) { return p[i] > p[j] || (p[i] == p[j] && i < j); });
  std::size_t kept = 0;
  do reached += to_fixed(p[narrow_[kept++]]);
  while (kept < narrow_.size() && reached < target);
  return {p[narrow_[kept - 1]], narrow_[kept - 1]};
}

}  // namespace moemill::cpu
