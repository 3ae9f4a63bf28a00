// A few thousand of a row's tokens, evenly spread over the ids, sorted into buckets by their p: tells roughly where a
// cut will lie before p of all tokens are known. What it says is likely, not sure; callers check it. Used by
// cpu::Sampler for top_p. Private to sample/cpu/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/cpu/stream.hpp"

namespace moemill::cpu {

class Sketch {
 public:
  // Of p = exp((row[i] - maximum) * scale).
  void take(Stream& stream, std::span<const float> row, float maximum, float scale);

  // Where the last kept p lies when the largest p are kept until they are `share` of the total: low <= p < high, low
  // perhaps 0 and high perhaps infinite. None where this would be more than a quarter of all tokens.
  struct Band {
    float low, high;
  };
  std::optional<Band> band_of(double share) const;
  // A p below which all tokens of the row together have at most `rest`.
  float least_p(double rest) const;

 private:
  // A bucket has the p with the same exponent and first five bits of the mantissa; the first has all up to 2^-40.
  static constexpr int dropped_bits_ = 18;
  static constexpr std::uint32_t first_ = (127u - 40u) << (23 - dropped_bits_);
  static constexpr std::size_t buckets_ = 40 * 32 + 1;
  static std::size_t bucket_of(float p);
  static float low_end(std::size_t bucket);

  std::vector<float> p_;
  double tokens_of_one_ = 1;  // of the row, for each that was taken
  double total_ = 0;
  std::array<double, buckets_> mass_;
  std::array<std::uint32_t, buckets_> count_;
};

}  // namespace moemill::cpu
