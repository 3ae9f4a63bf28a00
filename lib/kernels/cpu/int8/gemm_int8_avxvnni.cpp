// The product with int8 weights by AVX-VNNI, on 256 bits. Everything but the table is local to this file: see
// bodies.hpp.
#include "kernels/cpu/vector_file.hpp"

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx2.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/int8/sum_256.inl"

INLINE Int8Sum dot(Int8Sum sum, U weights, U row) {
  return {(Int8x8)_mm256_dpbusd_avx_epi32((__m256i)sum.low, weights.low, row.low),
          (Int8x8)_mm256_dpbusd_avx_epi32((__m256i)sum.high, weights.high, row.high)};
}
constexpr int int8_rows = 6, int8_vectors = 1;  // 12 accumulators, 2 registers of weights, 1 of a row

#include "kernels/cpu/int8/dot.inl"

#include "kernels/cpu/int8/tiles.inl"

}  // namespace

const Int8Gemm avxvnni_int8_gemm = int8_gemm;

}  // namespace moemill::cpu
