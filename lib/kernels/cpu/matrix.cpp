#include "kernels/matrix.hpp"
#include "base/numbers/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.hpp"
#include "base/numbers/small_floats.hpp"
#include "kernels/cpu/pack_tile.hpp"
#include "kernels/cpu/packed_layout.hpp"

namespace moemill::cpu {

namespace {

std::size_t packed_index(std::uint32_t k, std::uint32_t n, std::size_t i, std::size_t j) {
  const KBlock block = k_block(k, n, i / block_inputs);
  const std::size_t row = i - block.first_input;
  return block.first_line * pair_values + j / panel_columns * block.pairs * pair_values +
         (row / 2 * panel_columns + j % panel_columns) * 2 + row % 2;
}

// The byte of (input i, column j) in the codes of a matrix.
std::size_t code_index(const Matrix& w, std::size_t i, std::size_t j) {
  const KBlock block = k_block(w.k, w.n, i / block_inputs);
  const std::size_t pair = (i - block.first_input) / 2, line = block.first_line + j / panel_columns * block.pairs;
  const std::size_t in_line = code_position(j % panel_columns, i % 2);
  if (w.format == Format::Fp8) return (line + pair) * code_line_bytes + in_line;
  return (line + pair) / 2 * code_line_bytes + in_line;  // a panel of a K block has an even number of pairs
}

// The scale of (input i, column j) among those of a matrix.
std::size_t scale_index(const Matrix& w, std::size_t i, std::size_t j) {
  const std::size_t column = scales_per_panel(w) == 1 ? 0 : j % panel_columns;
  return (j / panel_columns * scale_segments(w) + i / scale_inputs(w)) * scales_per_panel(w) + column;
}

// Codes and scale of one column of Fp8, spread over the packed lines.
void pack_column(std::byte* to, float* scales, const Matrix& shape, const Fp8Columns& source, std::size_t j) {
  const std::size_t column = source.first_column + j;
  const float* own =
      source.scales +
      ((source.first_row + j) / source.block_rows - source.first_row / source.block_rows) * source.scale_width;
  for (std::size_t segment = 0; segment < scale_segments(shape); ++segment) {
    scales[scale_index(shape, segment * scale_inputs(shape), column)] = own[segment];
  }
  const std::byte* codes = source.codes + j * shape.k;
  for (std::size_t first = 0; first < shape.k; first += block_inputs) {
    std::byte* out = to + code_index(shape, first, column);
    const std::size_t inputs = std::min<std::size_t>(block_inputs, shape.k - first);
    for (std::size_t i = 0; i + 1 < inputs; i += 2) std::memcpy(out + i / 2 * code_line_bytes, codes + first + i, 2);
    if (inputs % 2 == 0) continue;
    // The padding decodes to +0 under a negative scale, too.
    const bool negative = std::signbit(own[scale_segments(shape) - 1]);
    out += inputs / 2 * code_line_bytes;
    out[0] = codes[first + inputs - 1], out[1] = negative ? std::byte{0x80} : std::byte{0};
  }
}

// The nibbles of a block in the order of the packed lines: two pairs per line.
void pack_block(std::byte* line, const std::byte* block) {
  for (std::size_t pair = 0; pair < mxfp4_block / 2; pair += 2, line += code_line_bytes) {
    const auto low = static_cast<std::uint32_t>(block[pair]), high = static_cast<std::uint32_t>(block[pair + 1]);
    line[0] = static_cast<std::byte>((low & 15u) | (high & 15u) << 4);
    line[1] = static_cast<std::byte>(low >> 4 | (high & 0xf0u));
  }
}

}  // namespace

std::size_t packed_count(std::uint32_t k, std::uint32_t n) {
  return panels_of(n) * panel_columns * round_up<std::size_t>(k, 2);
}

std::size_t packed_bytes(const Matrix& shape) {
  if (shape.format == Format::Bf16) return packed_count(shape.k, shape.n) * sizeof(bf16);
  const std::size_t scales = panels_of(shape.n) * scale_segments(shape) * scales_per_panel(shape);
  return code_bytes(shape) + scales * scale_size(shape);
}

void pack(bf16* packed, std::uint32_t k, std::uint32_t n, const PackedPart& part, const bf16* source,
          std::size_t column_stride, std::size_t input_stride) {
  const std::size_t end = std::size_t{part.first_input} + part.inputs;
  const std::size_t last = std::size_t{part.first_column} + part.columns;
  expect(part.first_input % 2 == 0 && end <= k && (end % 2 == 0 || end == k), "packed inputs come in pairs");
  expect(part.first_column % panel_columns == 0 && last <= n, "packed columns begin at a panel");
  for (std::size_t b = part.first_input / block_inputs; b * block_inputs < end; ++b) {
    const KBlock block = k_block(k, n, b);
    const std::size_t first = std::max<std::size_t>(part.first_input, block.first_input);
    const std::size_t inputs = std::min(end, block.first_input + 2 * block.pairs) - first;
    for (std::size_t column = part.first_column; column < last; column += panel_columns) {
      PackTile tile;
      tile.out = packed + packed_index(k, n, first, column);
      tile.source = source + (column - part.first_column) * column_stride + (first - part.first_input) * input_stride;
      tile.column_stride = column_stride;
      tile.input_stride = input_stride;
      tile.columns = std::min(panel_columns, last - column);
      tile.inputs = inputs;
      pack_tile(tile);
    }
  }
}

void pack(bf16* packed, std::uint32_t k, std::uint32_t n, const bf16* source, std::size_t column_stride,
          std::size_t input_stride, std::uint32_t first_column, std::uint32_t columns) {
  pack(packed, k, n, {0, k, first_column, columns}, source, column_stride, input_stride);
}

void pack(void* packed, const Matrix& shape, const Fp8Columns& source) {
  expect(shape.format == Format::Fp8 && source.first_column % panel_columns == 0, "packed columns begin at a panel");
  expect(shape.scale_inputs % 2 == 0 || shape.scale_inputs >= shape.k, "a scale covers whole pairs");
  auto* codes = static_cast<std::byte*>(packed);
  auto* scales = reinterpret_cast<float*>(codes + code_bytes(shape));
  for (std::size_t j = 0; j < source.columns; ++j) pack_column(codes, scales, shape, source, j);
}

void pack(void* packed, const Matrix& shape, const Mxfp4Columns& source) {
  expect(shape.format == Format::Mxfp4 && source.first_column % panel_columns == 0, "packed columns begin at a panel");
  expect(shape.k % mxfp4_block == 0, "MXFP4 has whole blocks");
  auto* codes = static_cast<std::byte*>(packed);
  auto* scales = codes + code_bytes(shape);
  const std::size_t blocks = shape.k / mxfp4_block;
  for (std::size_t j = 0; j < source.columns; ++j) {
    const std::size_t row = j * source.row_step * blocks, column = source.first_column + j;
    for (std::size_t b = 0; b < blocks; ++b) {
      scales[scale_index(shape, b * mxfp4_block, column)] = source.scales[row + b];
      pack_block(codes + code_index(shape, b * mxfp4_block, column), source.blocks + (row + b) * mxfp4_block_bytes);
    }
  }
}

bf16 packed_at(const Matrix& w, std::uint32_t i, std::uint32_t j) {
  if (w.format == Format::Bf16) return static_cast<const bf16*>(w.data)[packed_index(w.k, w.n, i, j)];
  const auto* codes = static_cast<const std::uint8_t*>(w.data);
  const std::uint8_t* scales = codes + code_bytes(w);
  const std::uint32_t code = codes[code_index(w, i, j)];
  if (w.format == Format::Mxfp4) {
    return mxfp4_weight(i / 2 % 2 == 0 ? code & 15u : code >> 4, scales[scale_index(w, i, j)]);
  }
  return fp8_weight(static_cast<std::uint8_t>(code), reinterpret_cast<const float*>(scales)[scale_index(w, i, j)]);
}

}  // namespace moemill::cpu
