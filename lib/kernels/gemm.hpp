// C[m, n] = A[m, k] * W[k, n] with W in bf16, prepacked, and C in fp32.
// Definition of every output: one fp32 accumulator starting at +0, k ascending, fused multiply-add. So no number of
// rows, no split by columns, no instruction set and no thread count changes a bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bf16.hpp"
#include "base/rows.hpp"

namespace moemill::cpu {

class Stream;  // kernels/cpu/stream.hpp

// A view of packed weights; the packed layout is private to gemm (K blocks of 512, panels of 32 columns, pairs of
// successive k in one 32-bit lane), padded with zeros to whole pairs and panels.
struct Matrix {
  const bf16* data = nullptr;
  std::uint32_t k = 0;  // inputs
  std::uint32_t n = 0;  // outputs
};

std::size_t packed_count(std::uint32_t k, std::uint32_t n);  // bf16 values, padding included

// The part of a packed matrix that one source fills: inputs [first_input, first_input + inputs) of columns
// [first_column, first_column + columns). Inputs begin at an even one and end at an even one or at k; columns begin at
// a multiple of 32. What the last panel has behind them is zeroed, so several sources (gate and up) can fill one matrix
// if each begins at a panel of its own.
struct PackedPart {
  std::uint32_t first_input, inputs;
  std::uint32_t first_column, columns;
};
// Element (column first_column + j, input first_input + i) is source[j * column_stride + i * input_stride]: a torch
// Linear weight [out, in] has column_stride = in, input_stride = 1; a matrix stored input first has 1 and out.
void pack(bf16* packed, std::uint32_t k, std::uint32_t n, const PackedPart& part, const bf16* source,
          std::size_t column_stride, std::size_t input_stride);
// The same with all inputs.
void pack(bf16* packed, std::uint32_t k, std::uint32_t n, const bf16* source, std::size_t column_stride,
          std::size_t input_stride, std::uint32_t first_column, std::uint32_t columns);
// The packed value at (input i, column j): for tests and tools.
bf16 packed_at(const Matrix& w, std::uint32_t i, std::uint32_t j);

// Rows of A. Row r is data + (index ? index[r] : r) * stride. fp32 rows are used as they are, unrounded.
struct RowsBf16 {
  const bf16* data;
  std::size_t stride;
  const std::uint32_t* index = nullptr;
};
struct RowsF32 {
  const float* data;
  std::size_t stride;
  const std::uint32_t* index = nullptr;
};

void gemm(Stream& stream, RowsBf16 a, std::size_t m, const Matrix& w, float* c, std::size_t c_stride);
void gemm(Stream& stream, RowsF32 a, std::size_t m, const Matrix& w, float* c, std::size_t c_stride);

// Several independent products, split over the team by problem and column panel: the experts of a layer, or the heads
// of an attention. Problems with m = 0 are skipped.
template <class Rows>
struct GemmProblem {
  Rows a;
  std::size_t m;
  Matrix w;
  float* c;
  std::size_t c_stride;
};
void gemm_grouped(Stream& stream, std::span<const GemmProblem<RowsBf16>> problems);
void gemm_grouped(Stream& stream, std::span<const GemmProblem<RowsF32>> problems);

// The same over views; rows of A as they follow each other.
inline void gemm(Stream& stream, Rows<const bf16> a, const Matrix& w, Rows<float> c) {
  gemm(stream, RowsBf16{a.data, a.stride}, a.rows, w, c.data, c.stride);
}
inline void gemm(Stream& stream, Rows<const float> a, const Matrix& w, Rows<float> c) {
  gemm(stream, RowsF32{a.data, a.stride}, a.rows, w, c.data, c.stride);
}

}  // namespace moemill::cpu
