// The AVX-512 bodies. Everything but the table is local to this file: see bodies.hpp.
#include <immintrin.h>

// GCC 12's own header passes an undefined vector to every unmasked AVX-512 shuffle and then warns about it.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "kernels/cpu/bodies.hpp"

#define INLINE [[gnu::always_inline]] inline

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_avx512.inl"

#include "kernels/cpu/rows_bodies.inl"

#include "kernels/cpu/balanced_tiles.inl"

#include "kernels/cpu/attention_lanes_bodies.inl"

#include "kernels/cpu/attention_pages_bodies.inl"

#include "kernels/cpu/bodies_table.inl"

}  // namespace

const Bodies avx512_bodies = table;

}  // namespace moemill::cpu
