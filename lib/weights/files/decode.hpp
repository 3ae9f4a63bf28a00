// Decodes storage formats to bf16. The results are, by definition, the model's weights. Pure functions on bytes as they
// lie in a file, at any alignment; called piece by piece while loading. Private to weights/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/numbers/bf16.hpp"

namespace moemill::model {

// Formats of unquantised numbers.
enum class Plain { Bf16, F16, F32 };
std::uint32_t bytes_of(Plain dtype);  // per value
// To bf16 rounded to nearest even, to fp32 exact.
void decode_plain(Plain dtype, const std::byte* data, std::uint64_t count, bf16* out);
void decode_plain(Plain dtype, const std::byte* data, std::uint64_t count, float* out);

// Rows of FP8 E4M3 codes with an fp32 scale per block. Decoded by fp8_weight of base/numbers/small_floats.hpp.
struct Fp8Rows {
  const std::byte* codes;  // [rows, columns]; the first is row `first_row` of a matrix
  std::uint64_t first_row, rows, columns;
  const float* scales;  // [scale rows, ceil(columns / block_columns)]; the first belong to row first_row
  std::uint32_t block_rows, block_columns;
};
void decode_fp8(const Fp8Rows& in, bf16* out);

// `count` blocks of MXFP4, with a scale byte per block. Decoded by mxfp4_weight of base/numbers/small_floats.hpp.
void decode_mxfp4(const std::byte* blocks, const std::byte* scales, std::uint64_t count, bf16* out);

// Splits each value into three parts: the value rounded to bf16, the rest rounded to bf16, and what is then still
// missing. They add up exactly to any value that is not subnormal. out: [3, count]
void split_floats(const float* values, std::uint64_t count, bf16* out);

// True if every value is finite.
bool all_finite(const bf16* values, std::uint64_t count);

}  // namespace moemill::model
