// Passes over one row of logits that find a few large values without sorting all: used by the sampler and for the best
// tokens' logprobs. Order of tokens, everywhere: larger logit first, ties to the lower id. Private to sample/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"

namespace moemill::sample {

constexpr std::size_t chunk_tokens = 64;

// The largest logit of each chunk of 64 and of the row.
struct Maxima {
  std::vector<float> chunks;
  TokenId best = 0;  // first in order
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
};
// All tokens whose logit is at least `threshold`.
void collect(std::span<const float> row, const Maxima& maxima, float threshold, Candidates& candidates);
// A threshold that at least `count` logits reach, and not many more; lowest finite value where chunks cannot tell.
float threshold_for(std::size_t count, const Maxima& maxima, std::vector<float>& scratch);

// The last token, in order, of those that are kept.
struct Cut {
  float logit;
  TokenId id;
  bool keeps(float other, TokenId other_id) const { return other > logit || (other == logit && other_id <= id); }
};

enum class Weight { One, P };

class CutFinder {
 public:
  // The shortest run of candidates, in order, whose weight reaches `target` (at least one token; all of them when
  // their weight does not reach it). count >= 1.
  Cut find(const Candidates& candidates, Weight weight, double target);

 private:
  static constexpr std::size_t buckets_ = 1024;  // equal ranges of logits, largest first
  std::vector<double> weights_;
  std::vector<std::uint32_t> boundary_;
};

}  // namespace moemill::sample
