// What int8 means in a product with weights: values become integers of seven bits and a sign, a group of them at a
// time. The loader quantises weights when it packs them, gemm the rows of A when it reads them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matrix.hpp"

namespace moemill::cpu {

// Successive inputs, counted from input 0 of a matrix, that share a scale. The last group of a row may have fewer.
constexpr std::size_t int8_group = 128;

// The code of a value x in -127 .. 127, and the scale of its group, in fp32 with nearest even and without subnormals
// (system/machine/flush_subnormals.hpp). largest is the greatest magnitude of the group:
//   scale = largest / 127, and x's code = the integer nearest to x * (127 / largest), of two the even one;
//   codes and scale are 0 where the scale is (largest < 127 * 2^-126);
//   codes are 0 and the scale is int8_nan where a value is infinite or NaN: every sum that it enters becomes NaN.
// Returns the scale. The calling thread flushes subnormals.
float quantize_group(const float* values, std::size_t count, std::int8_t* codes);

// The NaN that the arithmetic of x86 makes itself, so that NaNs of different origin have the same bits.
constexpr std::uint32_t int8_nan_bits = 0xffc00000u;

// A weight of an Int8 matrix: for tests and tools.
struct Int8Weight {
  int code;
  float scale;
};
Int8Weight int8_at(const Matrix& w, std::uint32_t i, std::uint32_t j);

}  // namespace moemill::cpu
