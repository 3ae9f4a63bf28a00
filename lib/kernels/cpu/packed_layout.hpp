// Where the values, codes and scales of a packed matrix lie. Private to kernels/cpu/: packing writes by it, gemm reads
// by it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/numbers/rounding.hpp"
#include "base/numbers/small_floats.hpp"
#include "kernels/cpu/bodies.hpp"
#include "kernels/matrix.hpp"

namespace moemill::cpu {

constexpr std::size_t pair_values = 2 * panel_columns;  // one pair of k over a panel

inline std::size_t panels_of(std::uint32_t n) { return divide_up<std::size_t>(n, panel_columns); }
inline std::size_t blocks_of(std::uint32_t k) { return divide_up<std::size_t>(k, block_inputs); }
inline std::size_t padded_inputs(std::uint32_t k) { return round_up<std::size_t>(k, group_inputs); }

// A K block of a packed matrix. K is padded to whole groups.
struct KBlock {
  std::size_t first_input;
  std::size_t pairs;
  std::size_t first_line;  // pairs of all panels that lie before it; its panels follow one another
};
inline KBlock k_block(std::uint32_t k, std::uint32_t n, std::size_t index) {
  const std::size_t first = index * block_inputs;
  const std::size_t inputs = std::min(block_inputs, padded_inputs(k) - first);
  return {first, inputs / 2, first / 2 * panels_of(n)};
}

// Bytes of one pair of k over a panel. These and the scales below are not for Int8.
inline std::size_t pair_bytes_of(Format format) {
  return format == Format::Bf16 ? pair_values * sizeof(bf16) : format == Format::Fp8 ? pair_values : pair_values / 2;
}
inline std::size_t code_bytes(const Matrix& w) {
  return panels_of(w.n) * (padded_inputs(w.k) / 2) * pair_bytes_of(w.format);
}

// An Int8 matrix has its scales beside the codes.
inline std::size_t int8_panel_bytes(std::size_t inputs) {
  return inputs * panel_columns + divide_up(inputs, int8_group) * int8_scale_bytes;
}
inline std::size_t int8_padded_inputs(std::uint32_t k) { return round_up<std::size_t>(k, int8_step); }
inline std::size_t int8_bytes(const Matrix& w) { return panels_of(w.n) * int8_panel_bytes(int8_padded_inputs(w.k)); }

// A K block of a matrix of any format.
struct BlockPlace {
  std::size_t first_input, inputs;      // padding included
  std::size_t first_byte, panel_bytes;  // its panels follow one another
};
inline BlockPlace block_place(const Matrix& w, std::size_t index) {
  if (w.format == Format::Int8) {
    const std::size_t first = index * block_inputs, inputs = std::min(block_inputs, int8_padded_inputs(w.k) - first);
    return {first, inputs, index * panels_of(w.n) * int8_panel_bytes(block_inputs), int8_panel_bytes(inputs)};
  }
  const KBlock block = k_block(w.k, w.n, index);
  const std::size_t pair_bytes = pair_bytes_of(w.format);
  return {block.first_input, 2 * block.pairs, block.first_line * pair_bytes, block.pairs * pair_bytes};
}

// Scales lie panel by panel, [panels][segments of k][scales_per_panel]. A scale for all of k covers the padding.
inline std::size_t scale_inputs(const Matrix& w) {
  return w.format == Format::Fp8 ? round_up<std::size_t>(w.scale_inputs, group_inputs) : mxfp4_block;
}
inline std::size_t scale_segments(const Matrix& w) { return divide_up<std::size_t>(w.k, scale_inputs(w)); }
inline std::size_t scales_per_panel(const Matrix& w) {
  return w.format == Format::Fp8 ? w.scale_columns : panel_columns;
}
inline std::size_t scale_size(const Matrix& w) { return w.format == Format::Fp8 ? sizeof(float) : 1; }

}  // namespace moemill::cpu
