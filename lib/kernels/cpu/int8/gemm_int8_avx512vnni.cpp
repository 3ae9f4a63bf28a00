// The product with int8 weights by AVX512_VNNI. Everything but the table is local to this file: see bodies.hpp.
#include "kernels/cpu/vector_file.hpp"

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx512.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/int8/sum_512.inl"

INLINE Int8Sum dot(Int8Sum sum, U weights, U row) {
  return {(Int8x16)_mm512_dpbusd_epi32((__m512i)sum.v, weights.v, row.v)};
}
constexpr int int8_rows = tile_rows, int8_vectors = tile_vectors;

#include "kernels/cpu/int8/dot.inl"

#include "kernels/cpu/int8/tiles.inl"

}  // namespace

const Int8Gemm avx512vnni_int8_gemm = int8_gemm;

}  // namespace moemill::cpu
