#include "kernels/matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.hpp"
#include "base/numbers/small_floats.hpp"
#include "kernels/cpu/gemm/pack_tile.hpp"
#include "kernels/cpu/packed_layout.hpp"

namespace moemill::cpu {

namespace {

// The first value of the group of input i, over the panel of column j.
std::size_t group_index(const Matrix& w, std::size_t i, std::size_t j) {
  const KBlock block = k_block(w.k, w.n, i / block_inputs);
  const std::size_t first_pair = (i - block.first_input) / group_inputs * group_pairs;
  return (block.first_line + j / panel_columns * block.pairs + first_pair) * pair_values;
}

std::size_t packed_index(const Matrix& w, std::size_t i, std::size_t j) {
  const PairPlace place = place_in_group(w.order, i % group_inputs);
  return group_index(w, i, j) + (place.pair * panel_columns + j % panel_columns) * 2 + place.upper;
}

// The byte of column j's lower codes in the first pair of the group of input i.
std::size_t group_codes(const Matrix& w, std::size_t i, std::size_t j) {
  const std::size_t line = group_index(w, i, j) / pair_values;
  return (w.format == Format::Fp8 ? line : line / 2) * code_line_bytes + code_position(j % panel_columns, 0);
}

// The byte of (input i, column j) in the codes of a matrix; in MXFP4 an even pair has the low nibbles of it.
std::size_t code_index(const Matrix& w, std::size_t i, std::size_t j) {
  const PairPlace place = place_in_group(w.order, i % group_inputs);
  const std::size_t line = w.format == Format::Fp8 ? place.pair : place.pair / 2;
  return group_codes(w, i, j) + line * code_line_bytes + place.upper;
}

// The inputs of a group as an order has them: [2 * pair + upper].
using GroupOrder = std::array<std::uint8_t, group_inputs>;
GroupOrder group_order(PairOrder order) {
  GroupOrder inputs;
  for (std::size_t at = 0; at < group_inputs; ++at) {
    inputs[at] = static_cast<std::uint8_t>(input_of(order, {at / 2, at % 2}));
  }
  return inputs;
}

// The scale of (input i, column j) among those of a matrix.
std::size_t scale_index(const Matrix& w, std::size_t i, std::size_t j) {
  const std::size_t column = scales_per_panel(w) == 1 ? 0 : j % panel_columns;
  return (j / panel_columns * scale_segments(w) + i / scale_inputs(w)) * scales_per_panel(w) + column;
}

// Codes and scale of one column of Fp8, spread over the packed lines.
void pack_column(std::byte* to, float* scales, const Matrix& shape, const GroupOrder& inputs, const Fp8Columns& source,
                 std::size_t j) {
  const std::size_t column = source.first_column + j;
  const float* own =
      source.scales +
      ((source.first_row + j) / source.block_rows - source.first_row / source.block_rows) * source.scale_width;
  for (std::size_t segment = 0; segment < scale_segments(shape); ++segment) {
    scales[scale_index(shape, segment * scale_inputs(shape), column)] = own[segment];
  }
  // The padding decodes to +0 under a negative scale, too.
  const std::byte zero{std::signbit(own[scale_segments(shape) - 1]) ? std::uint8_t{0x80} : std::uint8_t{0}};
  const std::byte* codes = source.codes + j * shape.k;
  for (std::size_t first = 0; first < shape.k; first += group_inputs) {
    std::byte* out = to + group_codes(shape, first, column);
    for (std::size_t at = 0; at < group_inputs; ++at) {
      const std::size_t input = first + inputs[at];
      out[at / 2 * code_line_bytes + at % 2] = input < shape.k ? codes[input] : zero;
    }
  }
}

// The nibbles of a block, which is a group, in the order of the packed lines: two pairs per line.
void pack_block(const GroupOrder& inputs, std::byte* out, const std::byte* block) {
  const auto nibble = [&](std::size_t at) {
    const auto both = static_cast<std::uint32_t>(block[inputs[at] / 2]);
    return inputs[at] % 2 == 0 ? both & 15u : both >> 4;
  };
  for (std::size_t at = 0; at < group_inputs; at += 4, out += code_line_bytes) {
    out[0] = static_cast<std::byte>(nibble(at) | nibble(at + 2) << 4);
    out[1] = static_cast<std::byte>(nibble(at + 1) | nibble(at + 3) << 4);
  }
}

}  // namespace

std::size_t packed_count(std::uint32_t k, std::uint32_t n) { return panels_of(n) * panel_columns * padded_inputs(k); }

std::size_t packed_bytes(const Matrix& shape) {
  if (shape.format == Format::Bf16) return packed_count(shape.k, shape.n) * sizeof(bf16);
  if (shape.format == Format::Int8) return int8_bytes(shape);
  const std::size_t scales = panels_of(shape.n) * scale_segments(shape) * scales_per_panel(shape);
  return code_bytes(shape) + scales * scale_size(shape);
}

void pack(bf16* packed, const Matrix& shape, const PackedPart& part, const bf16* source, std::size_t column_stride,
          std::size_t input_stride) {
  const std::size_t end = std::size_t{part.first_input} + part.inputs;
  const std::size_t last = std::size_t{part.first_column} + part.columns;
  expect(part.first_input % group_inputs == 0 && end <= shape.k && (end % group_inputs == 0 || end == shape.k),
         "packed inputs come in groups");
  expect(part.first_column % panel_columns == 0 && last <= shape.n, "packed columns begin at a panel");
  for (std::size_t b = part.first_input / block_inputs; b * block_inputs < end; ++b) {
    const KBlock block = k_block(shape.k, shape.n, b);
    const std::size_t first = std::max<std::size_t>(part.first_input, block.first_input);
    const std::size_t inputs = std::min(end, block.first_input + 2 * block.pairs) - first;
    for (std::size_t column = part.first_column; column < last; column += panel_columns) {
      PackTile tile;
      tile.order = shape.order;
      tile.out = packed + group_index(shape, first, column);
      tile.source = source + (column - part.first_column) * column_stride + (first - part.first_input) * input_stride;
      tile.column_stride = column_stride;
      tile.input_stride = input_stride;
      tile.columns = std::min(panel_columns, last - column);
      tile.inputs = inputs;
      pack_tile(tile);
    }
  }
}

void pack(void* packed, const Matrix& shape, const Fp8Columns& source) {
  expect(shape.format == Format::Fp8 && source.first_column % panel_columns == 0, "packed columns begin at a panel");
  expect(shape.scale_inputs % group_inputs == 0 || shape.scale_inputs >= shape.k, "a scale covers whole groups");
  auto* codes = static_cast<std::byte*>(packed);
  auto* scales = reinterpret_cast<float*>(codes + code_bytes(shape));
  const GroupOrder inputs = group_order(shape.order);
  for (std::size_t j = 0; j < source.columns; ++j) pack_column(codes, scales, shape, inputs, source, j);
}

void pack(void* packed, const Matrix& shape, const Mxfp4Columns& source) {
  expect(shape.format == Format::Mxfp4 && source.first_column % panel_columns == 0, "packed columns begin at a panel");
  expect(shape.k % mxfp4_block == 0, "MXFP4 has whole blocks");
  auto* codes = static_cast<std::byte*>(packed);
  auto* scales = codes + code_bytes(shape);
  const std::size_t blocks = shape.k / mxfp4_block;
  const GroupOrder inputs = group_order(shape.order);
  for (std::size_t j = 0; j < source.columns; ++j) {
    const std::size_t row = j * source.row_step * blocks, column = source.first_column + j;
    for (std::size_t b = 0; b < blocks; ++b) {
      scales[scale_index(shape, b * mxfp4_block, column)] = source.scales[row + b];
      pack_block(inputs, codes + group_codes(shape, b * mxfp4_block, column),
                 source.blocks + (row + b) * mxfp4_block_bytes);
    }
  }
}

bf16 packed_at(const Matrix& w, std::uint32_t i, std::uint32_t j) {
  expect(w.format != Format::Int8, "an int8 weight is no bf16 value");
  if (w.format == Format::Bf16) return static_cast<const bf16*>(w.data)[packed_index(w, i, j)];
  const auto* codes = static_cast<const std::uint8_t*>(w.data);
  const std::uint8_t* scales = codes + code_bytes(w);
  const std::uint32_t code = codes[code_index(w, i, j)];
  if (w.format == Format::Mxfp4) {
    return mxfp4_weight(place_in_group(w.order, i % group_inputs).pair % 2 == 0 ? code & 15u : code >> 4,
                        scales[scale_index(w, i, j)]);
  }
  return fp8_weight(static_cast<std::uint8_t>(code), reinterpret_cast<const float*>(scales)[scale_index(w, i, j)]);
}

}  // namespace moemill::cpu
