// Storage formats to bf16, as defined: every value here is what the model's weight *is*. Pure functions on bytes as
// they lie in a file (no alignment needed); called chunk by chunk while loading. Private to weights/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/numbers/bf16.hpp"

namespace moemill::model {

// BF16, F16 or F32; to bf16 rounded to nearest even, to fp32 exact.
enum class Plain { Bf16, F16, F32 };
std::uint32_t bytes_of(Plain dtype);
void decode_plain(Plain dtype, const std::byte* data, std::uint64_t count, bf16* out);
void decode_plain(Plain dtype, const std::byte* data, std::uint64_t count, float* out);

// FP8 E4M3 with one fp32 scale per block: fp8_weight of base/numbers/small_floats.hpp.
struct Fp8Rows {
  const std::byte* codes;  // [rows, columns], of a matrix whose row `first_row` is the first
  std::uint64_t first_row, rows, columns;
  const float* scales;  // [scale rows, ceil(columns / block_columns)], from the one of first_row on
  std::uint32_t block_rows, block_columns;
};
void decode_fp8(const Fp8Rows& in, bf16* out);

// MXFP4: mxfp4_weight of base/numbers/small_floats.hpp; `count` blocks, each with one scale byte.
void decode_mxfp4(const std::byte* blocks, const std::byte* scales, std::uint64_t count, bf16* out);

// out [3, count]: values rounded to bf16, what that leaves over rounded likewise, and what that leaves over. The three
// add up to a value that is not subnormal exactly.
void split_floats(const float* values, std::uint64_t count, bf16* out);

// No infinity and no NaN among them.
bool all_finite(const bf16* values, std::uint64_t count);

}  // namespace moemill::model
