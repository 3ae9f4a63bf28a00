#include <immintrin.h>

#include "bench/peak/fma_chains.hpp"

namespace moemill::bench {
namespace {

using Vector = __m256;
inline Vector splat(float value) { return _mm256_set1_ps(value); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }

#include "bench/peak/fma_chains.inl"

}  // namespace

void run_fma_chains_avx2(std::size_t rounds) { run_chains(rounds); }

}  // namespace moemill::bench
