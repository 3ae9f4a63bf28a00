// Quantising, as kernels/int8.hpp defines it, and packing what came out.
#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.hpp"
#include "kernels/cpu/gemm/packed_layout.hpp"
#include "kernels/int8.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill::cpu {

namespace {

constexpr std::uint32_t magnitude_bits = 0x7fffffffu, infinity_bits = 0x7f800000u;

// The scales of the group of input i over the panel of column j; its codes follow.
std::size_t group_byte(const Matrix& w, std::size_t i, std::size_t j) {
  const BlockPlace block = block_place(w, i / block_inputs);
  const std::size_t group = (i - block.first_input) / int8_group;
  return block.first_byte + j / panel_columns * block.panel_bytes + group * int8_group_bytes;
}
std::size_t code_in_group(std::size_t input, std::size_t column) {
  return int8_scale_bytes + input / 4 * int8_quad_bytes + column * 4 + input % 4;
}

// One column of a group, whose scales begin at `out`. A column without inputs is padding.
void pack_column(std::byte* out, std::size_t column, const bf16* source, std::size_t input_stride, std::size_t inputs,
                 std::size_t padded) {
  float values[int8_group];
  std::int8_t codes[int8_group] = {};
  for (std::size_t i = 0; i < inputs; ++i) values[i] = to_float(source[i * input_stride]);
  reinterpret_cast<float*>(out)[column] = quantize_group(values, inputs, codes);
  for (std::size_t i = 0; i < padded; ++i) {
    out[code_in_group(i, column)] = static_cast<std::byte>(codes[i] + int8_bias);
  }
}

}  // namespace

float quantize_group(const float* values, std::size_t count, std::int8_t* codes) {
  std::uint32_t largest_bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    largest_bits = std::max(largest_bits, std::bit_cast<std::uint32_t>(values[i]) & magnitude_bits);
  }
  std::fill_n(codes, count, std::int8_t{0});
  if (largest_bits >= infinity_bits) return std::bit_cast<float>(int8_nan_bits);
  const auto largest = std::bit_cast<float>(largest_bits);
  const float scale = largest / 127;
  if (scale == 0) return 0;
  const float inverse = 127 / largest;
  for (std::size_t i = 0; i < count; ++i) codes[i] = static_cast<std::int8_t>(std::lrint(values[i] * inverse));
  return scale;
}

void pack_int8(void* packed, const Matrix& shape, const PackedPart& part, const bf16* source, std::size_t column_stride,
               std::size_t input_stride) {
  const std::size_t last_input = part.first_input + part.inputs;
  expect(shape.format == Format::Int8 && part.first_column % panel_columns == 0, "packed columns begin at a panel");
  expect(part.first_input % int8_group == 0 && (last_input % int8_group == 0 || last_input == shape.k),
         "int8 inputs are packed by whole groups");
  const FlushSubnormals flush;
  auto* to = static_cast<std::byte*>(packed);
  for (std::size_t i = part.first_input; i < last_input; i += int8_group) {
    const std::size_t inputs = std::min(int8_group, last_input - i), padded = round_up(inputs, int8_step);
    for (std::size_t j = 0; j < round_up<std::size_t>(part.columns, panel_columns); ++j) {
      std::byte* group = to + group_byte(shape, i, part.first_column + j);
      const bf16* column = source + (i - part.first_input) * input_stride + j * column_stride;
      const bool there = j < part.columns;
      pack_column(group, j % panel_columns, there ? column : nullptr, input_stride, there ? inputs : 0, padded);
    }
  }
}

Int8Weight int8_at(const Matrix& w, std::uint32_t i, std::uint32_t j) {
  expect(w.format == Format::Int8, "the matrix is quantised");
  const std::byte* group = static_cast<const std::byte*>(w.data) + group_byte(w, i, j);
  const std::size_t column = j % panel_columns;
  const auto code = static_cast<int>(group[code_in_group(i % int8_group, column)]) - int8_bias;
  return {code, reinterpret_cast<const float*>(group)[column]};
}

}  // namespace moemill::cpu
