#include "sample/cpu/sketch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/fixed_point.hpp"

namespace moemill::cpu {
namespace {

constexpr std::size_t wanted_tokens = 4096;
constexpr double deviations = 3.5;  // how far a sum may be off: one in some thousand rows is further

}  // namespace

std::size_t Sketch::bucket_of(float p) {
  const std::uint32_t leading = std::bit_cast<std::uint32_t>(p) >> dropped_bits_;
  return leading < first_ ? 0 : leading - first_;
}
float Sketch::low_end(std::size_t bucket) {
  return bucket == 0 ? 0.0f : std::bit_cast<float>((first_ + static_cast<std::uint32_t>(bucket)) << dropped_bits_);
}

void Sketch::take(Stream& stream, std::span<const float> row, float maximum, float scale) {
  // An odd step visits all places of a chunk.
  const std::size_t step = row.size() / wanted_tokens | 1;
  p_.clear();
  for (std::size_t i = 0; i < row.size(); i += step) p_.push_back(row[i]);
  fixed_exp_row(stream, p_, maximum, scale, p_.data());
  mass_.fill(0), count_.fill(0);
  for (float one : p_) {
    const std::size_t bucket = bucket_of(one);
    mass_[bucket] += static_cast<double>(one);
    ++count_[bucket];
  }
  total_ = 0;
  for (double mass : mass_) total_ += mass;
  tokens_of_one_ = static_cast<double>(row.size()) / static_cast<double>(p_.size());
}

// The share s of the p above an end of a bucket is off by about sqrt((1 - s)^2 A + s^2 B) of the total, with the sums A
// and B of the squares of p above and below.
std::optional<Sketch::Band> Sketch::band_of(double share) const {
  const auto squares_of = [&](std::size_t b) { return mass_[b] * static_cast<double>(low_end(b + 1)); };
  double above = 0, squares_above = 0, squares_below = 0;
  for (std::size_t b = 0; b < buckets_; ++b) squares_below += squares_of(b);
  Band band{0, std::numeric_limits<float>::infinity()};
  std::size_t inside = 0;
  for (std::size_t b = buckets_; b-- > 0;) {
    above += mass_[b], inside += count_[b];
    squares_above += squares_of(b), squares_below -= squares_of(b);
    const double s = above / total_;
    const double variance = (1 - s) * (1 - s) * squares_above + s * s * std::max(squares_below, 0.0);
    const double off = deviations * std::sqrt(variance) / total_;
    if (s + off <= share) band.high = low_end(b), inside = 0;
    if (s - off >= share) {
      band.low = low_end(b);
      break;
    }
  }
  if (4 * inside > p_.size()) return std::nullopt;
  return band;
}

float Sketch::least_p(double rest) const {
  double below = 0, squares = 0;
  std::size_t b = 0;
  for (; b + 1 < buckets_; ++b) {
    below += mass_[b], squares += mass_[b] * static_cast<double>(low_end(b + 1));
    if ((below + deviations * std::sqrt(squares)) * tokens_of_one_ > rest) break;
  }
  return low_end(b);
}

}  // namespace moemill::cpu
