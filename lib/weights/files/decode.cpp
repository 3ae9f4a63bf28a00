#include "weights/files/decode.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/numbers/small_floats.hpp"

namespace moemill::model {

namespace {

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

struct Half {
  std::uint16_t bits;
};

float half_to_float(std::uint16_t half) {
  std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  std::uint32_t exponent = half >> 10 & 31u, fraction = half & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  float tiny = static_cast<float>(fraction) * 0x1p-24f;  // subnormal or zero, exact
  return sign != 0 ? -tiny : tiny;
}

float as_float(float x) { return x; }
float as_float(bf16 x) { return to_float(x); }
float as_float(Half x) { return half_to_float(x.bits); }
void store_converted(float x, float* out) { *out = x; }
void store_converted(float x, bf16* out) { *out = to_bf16(x); }

template <class From, class To>
void convert(const std::byte* data, std::uint64_t count, To* out) {
  for (std::uint64_t i = 0; i < count; ++i) store_converted(as_float(load<From>(data + i * sizeof(From))), out + i);
}

using NibbleTable = std::array<std::array<bf16, 16>, 256>;  // [scale][nibble]

constexpr NibbleTable make_nibbles() {
  NibbleTable table{};
  for (std::uint32_t scale = 0; scale < 256; ++scale) {
    for (std::uint32_t nibble = 0; nibble < 16; ++nibble) table[scale][nibble] = mxfp4_weight(nibble, scale);
  }
  return table;
}
constexpr NibbleTable nibbles = make_nibbles();  // 8 KiB

// Rows [row, row + rows) of columns [first, first + count), which share a scale.
void decode_block(const Fp8Rows& in, std::uint64_t row, std::uint64_t rows, std::uint64_t first, std::uint64_t count,
                  float scale, bf16* out) {
  if (rows * count < 512) {  // too few for a table of 256 values
    for (std::uint64_t i = 0; i < rows * count; ++i) {
      const std::uint64_t at = (row + i / count) * in.columns + first + i % count;
      out[at] = fp8_weight(static_cast<std::uint8_t>(in.codes[at]), scale);
    }
    return;
  }
  std::array<bf16, 256> values;
  for (std::size_t code = 0; code < 256; ++code) values[code] = fp8_weight(static_cast<std::uint8_t>(code), scale);
  for (std::uint64_t r = row; r < row + rows; ++r) {
    const std::byte* codes = in.codes + r * in.columns + first;
    bf16* to = out + r * in.columns + first;
    for (std::uint64_t i = 0; i < count; ++i) to[i] = values[static_cast<std::size_t>(codes[i])];
  }
}

}  // namespace

std::uint32_t bytes_of(Plain dtype) { return dtype == Plain::F32 ? 4 : 2; }

void decode_plain(Plain dtype, const std::byte* data, std::uint64_t count, bf16* out) {
  switch (dtype) {
    case Plain::Bf16: std::memcpy(static_cast<void*>(out), data, count * sizeof(bf16)); break;
    case Plain::F16: convert<Half>(data, count, out); break;
    case Plain::F32: convert<float>(data, count, out); break;
  }
}

void decode_plain(Plain dtype, const std::byte* data, std::uint64_t count, float* out) {
  switch (dtype) {
    case Plain::Bf16: convert<bf16>(data, count, out); break;
    case Plain::F16: convert<Half>(data, count, out); break;
    case Plain::F32: convert<float>(data, count, out); break;
  }
}

void decode_fp8(const Fp8Rows& in, bf16* out) {
  const std::uint64_t scale_columns = (in.columns + in.block_columns - 1) / in.block_columns;
  const std::uint64_t first_scale = in.first_row / in.block_rows;
  for (std::uint64_t row = 0; row < in.rows;) {
    const std::uint64_t scale_row = (in.first_row + row) / in.block_rows;
    const std::uint64_t rows = std::min(in.rows, (scale_row + 1) * in.block_rows - in.first_row) - row;
    for (std::uint64_t s = 0; s < scale_columns; ++s) {
      const std::uint64_t first = s * in.block_columns;
      const std::uint64_t count = std::min<std::uint64_t>(in.block_columns, in.columns - first);
      decode_block(in, row, rows, first, count, in.scales[(scale_row - first_scale) * scale_columns + s], out);
    }
    row += rows;
  }
}

void decode_mxfp4(const std::byte* blocks, const std::byte* scales, std::uint64_t count, bf16* out) {
  for (std::uint64_t b = 0; b < count; ++b, blocks += 16, out += 32) {
    const std::array<bf16, 16>& values = nibbles[static_cast<std::size_t>(scales[b])];
    for (std::size_t j = 0; j < 16; ++j) {
      const auto byte = static_cast<std::size_t>(blocks[j]);
      out[2 * j] = values[byte & 15];
      out[2 * j + 1] = values[byte >> 4];
    }
  }
}

void split_floats(const float* values, std::uint64_t count, bf16* out) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const bf16 high = to_bf16(values[i]);
    const float rest = values[i] - to_float(high);
    const bf16 middle = to_bf16(rest);
    out[i] = high, out[count + i] = middle, out[2 * count + i] = to_bf16(rest - to_float(middle));
  }
}

bool all_finite(const bf16* values, std::uint64_t count) {
  // A value is not finite if all bits of its exponent are set; adding one to such an exponent carries into the cleared
  // sign bit.
  std::uint64_t carried = 0, i = 0;
  for (; i + 4 <= count; i += 4) {
    std::uint64_t four;
    std::memcpy(&four, values + i, sizeof four);
    carried |= (four & 0x7fff7fff7fff7fffu) + 0x0080008000800080u;
  }
  for (; i < count; ++i) carried |= static_cast<std::uint64_t>((values[i].bits & 0x7fffu) + 0x80u);
  return (carried & 0x8000800080008000u) == 0;
}

}  // namespace moemill::model
