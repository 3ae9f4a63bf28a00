// C[m, n] = A[m, k] * W[k, n] with W prepacked, each weight a bf16 value whatever its format, and C in fp32.
// Definition of every output: one fp32 accumulator starting at +0, k ascending, fused multiply-add. So no number of
// rows, no split by columns, no instruction set and no thread count changes a bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/numbers/bf16.hpp"
#include "base/rows.hpp"
#include "kernels/matrix.hpp"

namespace moemill::cpu {

class Stream;  // kernels/cpu/stream.hpp

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
