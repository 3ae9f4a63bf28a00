// The product with weights by AVX2 and FMA. Everything but the tables is local to this file: see bodies.hpp.
#include "kernels/cpu/vector_file.hpp"

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx2.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/gemm/codes.inl"

#include "kernels/cpu/gemm/fma.inl"

#include "kernels/cpu/panels.inl"

#include "kernels/cpu/gemm/tiles.inl"

}  // namespace

const ExactGemm avx2_exact_gemm = {row_values * sizeof(RowValue), pack_row<float>, gemm_block};
const GemmBody avx2_gemm = {PairOrder::EvenThenOdd, row_values * sizeof(RowValue), pack_row<bf16>, gemm_block,
                            &avx2_exact_gemm};

}  // namespace moemill::cpu
