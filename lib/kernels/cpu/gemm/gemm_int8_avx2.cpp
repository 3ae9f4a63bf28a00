// The product with int8 weights by AVX2. Everything but the table is local to this file: see bodies.hpp.
#include "kernels/cpu/vector_file.hpp"

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx2.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/gemm/int8_sum_256.inl"

INLINE U madd(U a, U b) { return {_mm256_madd_epi16(a.low, b.low), _mm256_madd_epi16(a.high, b.high)}; }
INLINE Int8Sum add(Int8Sum sum, U a) { return {sum.low + (Int8x8)a.low, sum.high + (Int8x8)a.high}; }
INLINE U shift_words_right_8(U a) { return {_mm256_srli_epi16(a.low, 8), _mm256_srli_epi16(a.high, 8)}; }
constexpr int int8_rows = 4, int8_vectors = 1;  // 8 accumulators, 4 registers of weights, 2 of rows

#include "kernels/cpu/gemm/int8_madd.inl"

#include "kernels/cpu/gemm/int8_tiles.inl"

}  // namespace

const Int8Gemm avx2_int8_gemm = int8_gemm;

}  // namespace moemill::cpu
