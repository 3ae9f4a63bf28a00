// C[m, n] = A[m, k] * W[k, n] with W prepacked and C in fp32: each weight a bf16 value whatever its format, or all of
// them quantised to int8.
//
// Definition of every output for bf16 weights, on every instruction set. Inputs are taken in groups of 32 from 0, the
// last one filled up with zeros (+0 * +0 is added like any other product). In a group, E is a chain of fused
// multiply-adds over its even inputs, ascending, from +0, and O the same over its odd ones; then C = C + (E + O), from
// +0. Everything rounds to nearest even, and subnormal operands and results count as zeros of their sign
// (system/machine/flush_subnormals.hpp). So no number of rows, no split by columns, no instruction set and no thread
// count changes a bit, and the matrix units of x86 follow it: tdpbf16ps does a group, vdpbf16ps two inputs.
//
// Rows in fp32 enter the same sums unrounded, by fused multiply-adds on every unit: for the router, whose picks turn on
// small differences, and for what attention has not rounded yet. Where one rounding is harmless, the caller rounds.
//
// Definition of every output for Int8 weights: inputs are taken in groups of int8_group from 0, and the row's values of
// a group are quantised like a column's (kernels/int8.hpp), whether they come in bf16 or fp32. S is the sum of the
// products of a group's codes, an integer below 2^21 that any order of any unit gives exactly and fp32 holds; then
// C = fma(S, row's scale * column's scale, C), from +0. Infinite and NaN values make the outputs of their row or column
// NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/numbers/bf16.hpp"
#include "base/rows.hpp"
#include "kernels/matrix.hpp"

namespace moemill::cpu {

class Stream;  // kernels/cpu/stream.hpp

// One product. Row i of C is row i of A times W, or row index[i] of A where there is an index.
template <class T>
struct GemmProblem {
  Rows<const T> a;                    // [rows, w.k]
  Matrix w;                           // [w.k, w.n]
  Rows<float> c;                      // [m, w.n]
  Vector<const std::uint32_t> index;  // [m] rows of A, or none
};

// A part of C that has its final values: what a product's epilogue works on, by the thread that computed it, while the
// part is in its cache. Parts begin at multiples of epilogue_columns and share no value.
struct GemmPart {
  std::size_t problem;  // of a grouped product
  std::size_t first_row, rows;
  std::size_t first_column, columns;
};
constexpr std::size_t epilogue_columns = 64;
// Refers to a function that outlives the product.
class GemmEpilogue {
 public:
  GemmEpilogue() = default;
  template <class Function>
  explicit GemmEpilogue(const Function& function)
      : context_(&function),
        call_([](const void* context, const GemmPart& part) { (*static_cast<const Function*>(context))(part); }) {}
  explicit operator bool() const { return call_ != nullptr; }
  void operator()(const GemmPart& part) const { call_(context_, part); }

 private:
  const void* context_ = nullptr;
  void (*call_)(const void*, const GemmPart&) = nullptr;
};

void gemm(Stream& stream, Rows<const bf16> a, const Matrix& w, Rows<float> c, GemmEpilogue epilogue = {});
void gemm(Stream& stream, Rows<const float> a, const Matrix& w, Rows<float> c, GemmEpilogue epilogue = {});

// Several independent products, split over the team by problem and column panel: the experts of a layer, or the heads
// of an attention. Problems without rows are skipped. Either all matrices are Int8 or none is. Neighbours with the same
// rows of A pack them, or quantise them, once: queries, keys and values.
void gemm_grouped(Stream& stream, std::span<const GemmProblem<bf16>> problems, GemmEpilogue epilogue = {});
void gemm_grouped(Stream& stream, std::span<const GemmProblem<float>> problems, GemmEpilogue epilogue = {});

// For epilogues, on the thread that calls them: c += bias, one for all rows; and out[place[r]] = c[r], rounded.
void add_bias(Stream& stream, const GemmPart& part, Rows<float> c, Vector<const float> bias);
void scatter_rounded(Stream& stream, const GemmPart& part, Rows<const float> c, Vector<const std::uint32_t> place,
                     Rows<bf16> out);

}  // namespace moemill::cpu
