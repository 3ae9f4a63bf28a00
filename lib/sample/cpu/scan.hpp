// Passes over one row of logits that find its large values without sorting all: used for filters and the best tokens.
// Private to sample/cpu/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"

namespace moemill::cpu {

constexpr std::size_t chunk_tokens = 64;

// The largest logit of each chunk of 64 and of the row.
struct Maxima {
  std::vector<float> chunks;
  TokenId best = 0;  // ties to the lowest id
  float largest = 0;
  bool finite = true;  // no logit is NaN or infinite
};
void find_maxima(std::span<const float> row, Maxima& maxima);

// Some of a row's tokens, by ascending id.
struct Candidates {
  std::vector<TokenId> ids;
  std::vector<float> logits;
  std::vector<float> p;  // filled in by the sampler
  std::size_t count = 0;
  std::span<const float> logits_used() const { return std::span(logits).first(count); }
  std::span<const float> p_used() const { return std::span(p).first(count); }
};
// All tokens whose logit is at least `threshold`.
void collect(std::span<const float> row, const Maxima& maxima, float threshold, Candidates& candidates);
// A threshold that at least `count` logits reach, and not many more; lowest finite value where chunks cannot tell.
float threshold_for(std::size_t count, const Maxima& maxima, std::vector<float>& scratch);

// The last of the values that are kept; the order is larger value first, ties to the lower index.
struct Cut {
  float value;
  std::size_t index;
  bool keeps(float other, std::size_t other_index) const {
    return other > value || (other == value && other_index <= index);
  }
};

// Keeps `count` values, 1 <= count <= values.size().
Cut cut_at_count(std::span<const float> values, std::size_t count, std::vector<std::uint32_t>& scratch);

class CutAtSum {
 public:
  // Keeps the shortest run of p, in order, whose fixed-point sum (kernels/fixed_point.hpp) reaches `target`, which is
  // at most the sum of all: at least one value. p is in [0, 1], with at least one of 1. Selects by the leading bits of
  // p, then the next ones, then by sorting.
  Cut find(std::span<const float> p, std::uint64_t target);

 private:
  static constexpr std::size_t buckets_ = 1024;
  std::array<std::array<std::uint64_t, buckets_>, 4>
      sums_;  // four, so that successive values do not wait for one another
  std::vector<std::uint32_t> band_, narrow_;
};

}  // namespace moemill::cpu
