// The product with int8 weights by AVX2. Everything but the table is local to this file: see bodies.hpp.
#include "kernels/cpu/vector_file.hpp"

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx2.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/int8/sum_256.inl"

INLINE U madd(U a, U b) { return {_mm256_madd_epi16(a.low, b.low), _mm256_madd_epi16(a.high, b.high)}; }
INLINE Int8Sum add(Int8Sum sum, U a) { return {sum.low + (Int8x8)a.low, sum.high + (Int8x8)a.high}; }
INLINE U shift_words_right_8(U a) { return {_mm256_srli_epi16(a.low, 8), _mm256_srli_epi16(a.high, 8)}; }
// Sixteen codes, one in each lane, as words in the order of int8/madd.inl: of each four, 0 and 2, 1 and 3.
INLINE __m256i pair_words(__m256i codes) {
  const __m256i upper = _mm256_slli_epi32(_mm256_shuffle_epi32(codes, 0x4e), 16);
  return _mm256_blend_epi16(codes, upper, 0xaa);
}
INLINE void store_codes(U codes, std::uint32_t* out) {
  const __m256i fours = _mm256_unpacklo_epi64(pair_words(codes.low), pair_words(codes.high));  // 0, 2, 1, 3
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute4x64_epi64(fours, 0xd8));
}
constexpr int int8_rows = 4, int8_vectors = 1;  // 8 accumulators, 4 registers of weights, 2 of rows

#include "kernels/cpu/int8/madd.inl"

#include "kernels/cpu/int8/tiles.inl"

}  // namespace

const Int8Gemm avx2_int8_gemm = int8_gemm;

}  // namespace moemill::cpu
