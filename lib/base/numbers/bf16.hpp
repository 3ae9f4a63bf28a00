// bfloat16 as storage: the upper half of an fp32. Arithmetic is always fp32. to_float() is exact; to_bf16() rounds to
// nearest, ties to even, and NaN stays NaN. Vectorized conversions in kernels/ give the same bits.
#pragma once

#include <bit>
#include <cstdint>

namespace moemill {

struct bf16 {
  std::uint16_t bits;
  friend bool operator==(bf16, bf16) = default;
};
static_assert(sizeof(bf16) == 2);

inline float to_float(bf16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

inline bf16 to_bf16(float x) {
  std::uint32_t u = std::bit_cast<std::uint32_t>(x);
  // The quiet bit keeps a NaN from becoming infinity if only lower bits are set.
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

}  // namespace moemill
