// The CPU's weight matrix: a view of values packed for gemm, in bf16, in the codes in which the model is stored, or
// quantised to int8. But for int8, a weight is one bf16 value whatever the format, and gemm multiplies by exactly that.
// The loader packs, gemm reads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/numbers/bf16.hpp"
#include "base/rows.hpp"

namespace moemill::cpu {

enum class Format : std::uint8_t {
  Bf16,
  Fp8,    // E4M3 codes, an fp32 scale for scale_inputs of them: fp8_weight of base/numbers/small_floats.hpp
  Mxfp4,  // E2M1 nibbles, a scale byte for 32 of them: mxfp4_weight
  Int8,   // codes -127 .. 127, an fp32 scale for int8_group of them: kernels/int8.hpp
};

// Which two inputs lie side by side: a kernel body reads one of these orders (order_of, kernels/cpu/stream.hpp).
enum class PairOrder : std::uint8_t {
  EvenThenOdd,  // of 32 inputs first the even ones: what FMA and dot instructions read
  Successive,   // what tile instructions read
};

// The packed layout is private to kernels/ (K blocks of 512, panels of 32 columns, pairs of inputs side by side, in
// Int8 fours), padded with zeros to whole groups of 32 inputs (in Int8 64) and whole panels. Without data it is the
// description of a matrix.
struct Matrix {
  using Space = Host;
  const void* data = nullptr;  // values or codes; scales follow the codes
  std::uint32_t k = 0;         // inputs
  std::uint32_t n = 0;         // outputs
  Format format = Format::Bf16;
  // Fp8: successive inputs of a column that share a scale (a multiple of 32, or all k), and the scales that they have
  // per panel: one for its 32 columns, or 32.
  std::uint32_t scale_inputs = 0;
  std::uint32_t scale_columns = 0;
  PairOrder order = PairOrder::EvenThenOdd;  // without a meaning in Int8, which has one layout for all bodies
};

std::size_t packed_count(std::uint32_t k, std::uint32_t n);  // bf16 values, padding included
std::size_t packed_bytes(const Matrix& shape);               // padding and scales included

// The part of a packed matrix that one source fills: inputs [first_input, first_input + inputs) of columns
// [first_column, first_column + columns). Inputs begin and end at multiples of 32, or end at k; columns begin at a
// multiple of 32. What the last panel has behind them is zeroed, so several sources (gate and up) can fill one matrix
// if each begins at a panel of its own.
struct PackedPart {
  std::uint32_t first_input, inputs;
  std::uint32_t first_column, columns;
};
// Element (column first_column + j, input first_input + i) is source[j * column_stride + i * input_stride]: a torch
// Linear weight [out, in] has column_stride = in, input_stride = 1; a matrix stored input first has 1 and out.
void pack(bf16* packed, const Matrix& shape, const PackedPart& part, const bf16* source, std::size_t column_stride,
          std::size_t input_stride);

// Codes of an Fp8 matrix, for columns [first_column, first_column + columns) and all inputs. Column first_column + j is
// row `first_row + j` of a stored matrix that has one scale per block of block_rows rows and shape.scale_inputs inputs.
struct Fp8Columns {
  std::uint32_t first_column, columns;
  const std::byte* codes;  // [columns, k]
  const float* scales;     // [scale rows, scale_width], from the one of first_row on
  std::size_t scale_width;
  std::uint64_t first_row, block_rows;
};
void pack(void* packed, const Matrix& shape, const Fp8Columns& source);

// Codes of an Mxfp4 matrix, likewise. Column first_column + j is stored row j * row_step, so that gate and up may
// alternate.
struct Mxfp4Columns {
  std::uint32_t first_column, columns;
  const std::byte* blocks;  // [rows, k / 32, 16]
  const std::byte* scales;  // [rows, k / 32]
  std::size_t row_step;
};
void pack(void* packed, const Matrix& shape, const Mxfp4Columns& source);

// Quantises bf16 values into an Int8 matrix, by the strides of pack. Inputs begin and end at multiples of int8_group,
// or end at k, so that every scale sees all of its inputs.
void pack_int8(void* packed, const Matrix& shape, const PackedPart& part, const bf16* source, std::size_t column_stride,
               std::size_t input_stride);

// The weight at (input i, column j): for tests and tools. Not of Int8 matrices (kernels/int8.hpp has int8_at).
bf16 packed_at(const Matrix& w, std::uint32_t i, std::uint32_t j);

}  // namespace moemill::cpu
