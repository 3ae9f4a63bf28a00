#include <immintrin.h>

#include "bench/peak/fma_chains.hpp"

namespace moemill::bench {

// Named registers, not an array: an array behind asm barriers would live in memory.
void run_fma_chains_avx2(std::size_t rounds) {
  const __m256 factor = _mm256_set1_ps(0.5f);
  __m256 a = factor, b = factor, c = factor, d = factor, e = factor, f = factor, g = factor, h = factor, i = factor,
         j = factor, k = factor, l = factor;
  for (std::size_t round = 0; round < rounds; ++round) {
    a = _mm256_fmadd_ps(a, factor, factor);
    b = _mm256_fmadd_ps(b, factor, factor);
    c = _mm256_fmadd_ps(c, factor, factor);
    d = _mm256_fmadd_ps(d, factor, factor);
    e = _mm256_fmadd_ps(e, factor, factor);
    f = _mm256_fmadd_ps(f, factor, factor);
    g = _mm256_fmadd_ps(g, factor, factor);
    h = _mm256_fmadd_ps(h, factor, factor);
    i = _mm256_fmadd_ps(i, factor, factor);
    j = _mm256_fmadd_ps(j, factor, factor);
    k = _mm256_fmadd_ps(k, factor, factor);
    l = _mm256_fmadd_ps(l, factor, factor);
    asm volatile(""
                 : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f), "+x"(g), "+x"(h), "+x"(i), "+x"(j), "+x"(k),
                   "+x"(l));
  }
}

}  // namespace moemill::bench
