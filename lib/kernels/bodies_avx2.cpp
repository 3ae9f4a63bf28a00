// The AVX2 + FMA bodies. Everything but the table is local to this file: see bodies.hpp.
#include <immintrin.h>

#include "kernels/bodies.hpp"

#define INLINE [[gnu::always_inline]] inline

namespace moemill::cpu {
namespace {

#include "kernels/vector_avx2.inl"

#include "kernels/rows_bodies.inl"

#include "kernels/attention_bodies.inl"

#include "kernels/attention_pages_bodies.inl"

#include "kernels/gemm_bodies.inl"

#include "kernels/bodies_table.inl"

}  // namespace

const Bodies avx2_bodies = table;

}  // namespace moemill::cpu
