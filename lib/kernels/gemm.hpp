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

// One product. Row i of C is row i of A times W, or row index[i] of A where there is an index. Rows of A are bf16, or
// fp32 that is used as it is, unrounded.
template <class T>
struct GemmProblem {
  Rows<const T> a;                    // [rows, w.k]
  Matrix w;                           // [w.k, w.n]
  Rows<float> c;                      // [m, w.n]
  Vector<const std::uint32_t> index;  // [m] rows of A, or none
};

void gemm(Stream& stream, Rows<const bf16> a, const Matrix& w, Rows<float> c);
void gemm(Stream& stream, Rows<const float> a, const Matrix& w, Rows<float> c);

// Several independent products, split over the team by problem and column panel: the experts of a layer, or the heads
// of an attention. Problems without rows are skipped.
void gemm_grouped(Stream& stream, std::span<const GemmProblem<bf16>> problems);
void gemm_grouped(Stream& stream, std::span<const GemmProblem<float>> problems);

}  // namespace moemill::cpu
