// Probabilities as whole numbers, so that their sums do not depend on the order of addition: a sum over a row, a block
// or a shuffled list of tokens is the same on every device. Used by the sampler for top_p and the draw.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace moemill {

constexpr int fixed_bits = 40;  // 2^18 tokens of p = 1 add up to 2^58

// p * 2^40 rounded to nearest, ties to even; p is in [0, 1]. Adding 2^52 leaves the rounded number in the mantissa.
inline std::uint64_t to_fixed(float p) {
  return std::bit_cast<std::uint64_t>(static_cast<double>(p) * 0x1p40 + 0x1p52) & ((std::uint64_t{1} << 52) - 1);
}
// floor(whole * share / 2^share_bits): a part of a sum, with share < 2^share_bits <= 2^63.
inline std::uint64_t part_of(std::uint64_t whole, std::uint64_t share, int share_bits) {
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(whole) * share >> share_bits);
}

namespace cpu {

class Stream;  // kernels/cpu/stream.hpp

// Sum of to_fixed(p[i]).
std::uint64_t fixed_sum(Stream& stream, std::span<const float> p);
// p[i] = exp((x[i] - maximum) * scale); returns their fixed_sum, which needs x[i] <= maximum. Without p, the sum alone.
std::uint64_t fixed_exp_row(Stream& stream, std::span<const float> x, float maximum, float scale, float* p);
// The same sums without p, one per `block` values (a multiple of 16), and in the same pass the sum of exp(x[i] -
// maximum) by the 16-lane tree, which it returns: what a draw and its log-probability need (log_of_sum).
float fixed_exp_blocks(Stream& stream, std::span<const float> x, float maximum, float scale, std::size_t block,
                       std::uint64_t* sums);
// The fixed_sum of all p, and that of the p whose x is at least a threshold.
struct FixedShares {
  std::uint64_t all, above;
};
FixedShares fixed_exp_above(Stream& stream, std::span<const float> x, float maximum, float scale, float threshold);
// The values with low <= x[i] < high in their order, and first_id + i of each; returns how many they are. ids and
// values need room for selected_slack more.
constexpr std::size_t selected_slack = 16;
std::size_t select_between(Stream& stream, std::span<const float> x, float low, float high, std::uint32_t first_id,
                           std::uint32_t* ids, float* values);

}  // namespace cpu
}  // namespace moemill
