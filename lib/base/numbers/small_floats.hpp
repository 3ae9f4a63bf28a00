// The eight-bit and four-bit floating-point codes in which models are published, and the bf16 weights that they stand
// for. Every reader of codes yields exactly these values: the loader, and the kernels on weights that stay as stored.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/numbers/bf16.hpp"

namespace moemill {

constexpr std::array<float, 256> make_e4m3_values() {
  std::array<float, 256> values{};
  for (std::uint32_t code = 0; code < 256; ++code) {
    const std::uint32_t exponent = code >> 3 & 15u, fraction = code & 7u;
    float size = static_cast<float>(exponent == 0 ? fraction : fraction + 8) * 0x1p-9f;  // eighths of 2^-6
    for (std::uint32_t e = 1; e < exponent; ++e) size *= 2;
    values[code] = (code & 0x80u) != 0 ? -size : size;
  }
  values[0x7f] = std::bit_cast<float>(0x7fc00000u);
  values[0xff] = std::bit_cast<float>(0xffc00000u);
  return values;
}
// FP8 E4M3 (FN: there are no infinities, 0x7f and 0xff are NaN).
inline constexpr std::array<float, 256> e4m3_values = make_e4m3_values();

// The product is rounded twice: to fp32 and to bf16. Subnormal scales and products count as zeros, whatever the
// thread's mode: no product with weights makes a difference between the two (kernels/gemm.hpp).
inline bf16 fp8_weight(std::uint8_t code, float scale) {
  const float value = e4m3_values[code];
  const bool zero_scale = (std::bit_cast<std::uint32_t>(scale) & 0x7f800000u) == 0;
  const double exact = double{value} * (zero_scale ? 0.0 : double{scale});
  // What rounds to the smallest normal number with an unbounded exponent is normal.
  constexpr double smallest = 0x1p-126 * (1 - 0x1p-25);
  if (exact > -smallest && exact < smallest) {
    const std::uint32_t sign = std::bit_cast<std::uint32_t>(value) ^ std::bit_cast<std::uint32_t>(scale);
    return {static_cast<std::uint16_t>(sign >> 16 & 0x8000u)};
  }
  return to_bf16(value * scale);
}

// MXFP4: an E2M1 nibble times 2^(scale - 127), which is exact in bf16 up to its largest finite value. Above that the
// result is an infinity, and scale 255 means NaN. Subnormal scales and products count as zeros here, too.
constexpr bf16 mxfp4_weight(std::uint32_t nibble, std::uint32_t scale) {
  // The sizes 0, 1, 2, 3, 4, 6, 8, 12 halves are 2^exponent or 1.5 times that.
  constexpr int exponents[8] = {0, -1, 0, 0, 1, 1, 2, 2};
  const std::uint32_t code = nibble & 7u;
  const auto sign = static_cast<std::uint32_t>((nibble & 8u) << 12);
  if (scale == 255) return {static_cast<std::uint16_t>(sign | 0x7fc0u)};
  const std::uint32_t fraction = code >= 3 && code % 2 == 1 ? 0x40u : 0;
  const int exponent = exponents[code] + static_cast<int>(scale);  // biased as bf16 has it: 1 is 2^-126
  if (code == 0 || scale == 0 || exponent < 1) return {static_cast<std::uint16_t>(sign)};
  if (exponent >= 255) return {static_cast<std::uint16_t>(sign | 0x7f80u)};
  return {static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(exponent) << 7 | fraction)};
}

constexpr std::size_t mxfp4_block = 32;        // successive values of a row that share a scale
constexpr std::size_t mxfp4_block_bytes = 16;  // two nibbles per byte, the low one first

}  // namespace moemill
