// The product with weights by AVX2 and FMA. Everything but gemm_body is local to this file: see bodies.hpp.
#include <immintrin.h>

#include "kernels/cpu/bodies.hpp"

#define INLINE [[gnu::always_inline]] inline

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx2.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/gemm/codes.inl"

#include "kernels/cpu/gemm/fma.inl"

#include "kernels/cpu/gemm/tiles.inl"

}  // namespace

const GemmBody avx2_gemm = gemm_body;

}  // namespace moemill::cpu
