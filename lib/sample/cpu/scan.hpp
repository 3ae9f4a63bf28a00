// Finds the large values of one row of logits without sorting the row, for the filters (min_p, top_k, top_p) and for
// the best tokens. Called by cpu::Sampler. Private to sample/cpu/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "kernels/cpu/stream.hpp"

namespace moemill::cpu {

// The largest logit of each chunk (maxima_chunk, kernels/rows.hpp), and of the row.
struct Maxima {
  std::vector<float> chunks;
  TokenId best = 0;  // the token of the largest logit; ties: lowest id
  float largest = 0;
  bool finite = true;  // no logit is NaN or infinite
};
void find_maxima(Stream& stream, std::span<const float> row, Maxima& maxima);
// The same where the chunks' maxima are known (Logits::maxima).
void find_maxima(std::span<const float> row, std::span<const float> chunks, Maxima& maxima);

// Some of a row's tokens, by ascending id. The first `count` entries of each vector are in use.
struct Candidates {
  void reserve(std::size_t vocabulary);
  // Adds the tokens of `part`, the row from `first` on, whose logits lie in [low, high).
  void add(Stream& stream, std::span<const float> part, std::size_t first, float low, float high);

  std::vector<TokenId> ids;
  std::vector<float> logits;
  std::vector<float> p;  // filled in by the sampler
  std::size_t count = 0;
  std::span<const float> logits_used() const { return std::span(logits).first(count); }
  std::span<const float> p_used() const { return std::span(p).first(count); }
};
// Sets `candidates` to all tokens whose logit is at least `threshold`.
void collect(Stream& stream, std::span<const float> row, const Maxima& maxima, float threshold, Candidates& candidates);
// A threshold that at least `count` logits reach, and seldom many more: the count-th largest of the chunks' maxima. It
// is the lowest finite value if there are fewer chunks than that.
float threshold_for(std::size_t count, const Maxima& maxima, std::vector<float>& scratch);

// The last value that is kept. Larger values come first, and equal ones by ascending index.
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
  // Keeps the fewest values, largest first, whose fixed-point sum (kernels/fixed_point.hpp) reaches `target`, and at
  // least one. `target` is at most the sum of all values; the values are in [0, 1], and at least one of them is 1.
  // Selects by the leading bits of p, then by the next bits, then by sorting.
  Cut find(std::span<const float> p, std::uint64_t target);

 private:
  static constexpr std::size_t buckets_ = 1024;
  // There are four arrays so that the additions of successive values do not wait for one another.
  std::array<std::array<std::uint64_t, buckets_>, 4> sums_;
  std::vector<std::uint32_t> band_;    // indices of the values whose leading bits are those of the cut
  std::vector<std::uint32_t> narrow_;  // those of them whose next bits are the cut's, too
};

}  // namespace moemill::cpu
