// The product with int8 weights by AVX-512. Everything but the table is local to this file: see bodies.hpp.
#include "kernels/cpu/vector_file.hpp"

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx512.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/int8/sum_512.inl"

INLINE U madd(U a, U b) { return {_mm512_madd_epi16(a.v, b.v)}; }
INLINE Int8Sum add(Int8Sum sum, U a) { return {sum.v + (Int8x16)a.v}; }
INLINE U shift_words_right_8(U a) { return {_mm512_srli_epi16(a.v, 8)}; }
// Sixteen codes, one in each lane, as words in the order of int8/madd.inl: of each four, 0 and 2, 1 and 3.
INLINE void store_codes(U codes, std::uint32_t* out) {
  const __m512i upper = _mm512_slli_epi32(_mm512_shuffle_epi32(codes.v, _MM_PERM_BADC), 16);
  const __m512i words = _mm512_mask_blend_epi16(0xaaaaaaaa, codes.v, upper);
  const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6);  // the lower half of each quarter
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(_mm512_permutexvar_epi64(order, words)));
}
constexpr int int8_rows = 10, int8_vectors = 2;  // 20 accumulators, 4 registers of weights, 2 of rows

#include "kernels/cpu/int8/madd.inl"

#include "kernels/cpu/int8/tiles.inl"

}  // namespace

const Int8Gemm avx512_int8_gemm = int8_gemm;

}  // namespace moemill::cpu
