// The product with int8 weights by AVX-512. Everything but the table is local to this file: see bodies.hpp.
#include "kernels/cpu/vector_file.hpp"

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx512.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/gemm/int8_sum_512.inl"

INLINE U madd(U a, U b) { return {_mm512_madd_epi16(a.v, b.v)}; }
INLINE Int8Sum add(Int8Sum sum, U a) { return {sum.v + (Int8x16)a.v}; }
INLINE U shift_words_right_8(U a) { return {_mm512_srli_epi16(a.v, 8)}; }
constexpr int int8_rows = 10, int8_vectors = 2;  // 20 accumulators, 4 registers of weights, 2 of rows

#include "kernels/cpu/gemm/int8_madd.inl"

#include "kernels/cpu/gemm/int8_tiles.inl"

}  // namespace

const Int8Gemm avx512_int8_gemm = int8_gemm;

}  // namespace moemill::cpu
