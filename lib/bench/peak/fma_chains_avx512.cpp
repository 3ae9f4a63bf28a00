#include <immintrin.h>

#include "bench/peak/fma_chains.hpp"

namespace moemill::bench {

// Named registers, not an array: an array behind asm barriers would live in memory.
void run_fma_chains_avx512(std::size_t rounds) {
  const __m512 factor = _mm512_set1_ps(0.5f);
  __m512 a = factor, b = factor, c = factor, d = factor, e = factor, f = factor, g = factor, h = factor, i = factor,
         j = factor, k = factor, l = factor;
  for (std::size_t round = 0; round < rounds; ++round) {
    a = _mm512_fmadd_ps(a, factor, factor);
    b = _mm512_fmadd_ps(b, factor, factor);
    c = _mm512_fmadd_ps(c, factor, factor);
    d = _mm512_fmadd_ps(d, factor, factor);
    e = _mm512_fmadd_ps(e, factor, factor);
    f = _mm512_fmadd_ps(f, factor, factor);
    g = _mm512_fmadd_ps(g, factor, factor);
    h = _mm512_fmadd_ps(h, factor, factor);
    i = _mm512_fmadd_ps(i, factor, factor);
    j = _mm512_fmadd_ps(j, factor, factor);
    k = _mm512_fmadd_ps(k, factor, factor);
    l = _mm512_fmadd_ps(l, factor, factor);
    asm volatile(""
                 : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j), "+v"(k),
                   "+v"(l));
  }
}

}  // namespace moemill::bench
