#include "bench/peak/fma_chains.hpp"

namespace moemill::bench {

// One lane as the plain bodies have it: fmaf is the C library's unless the compiler may use FMA.
void run_fma_chains_plain(std::size_t rounds) {
  const float factor = 0.5f;
  float a = factor, b = factor, c = factor, d = factor, e = factor, f = factor, g = factor, h = factor, i = factor,
        j = factor, k = factor, l = factor;
  for (std::size_t round = 0; round < rounds; ++round) {
    a = __builtin_fmaf(a, factor, factor);
    b = __builtin_fmaf(b, factor, factor);
    c = __builtin_fmaf(c, factor, factor);
    d = __builtin_fmaf(d, factor, factor);
    e = __builtin_fmaf(e, factor, factor);
    f = __builtin_fmaf(f, factor, factor);
    g = __builtin_fmaf(g, factor, factor);
    h = __builtin_fmaf(h, factor, factor);
    i = __builtin_fmaf(i, factor, factor);
    j = __builtin_fmaf(j, factor, factor);
    k = __builtin_fmaf(k, factor, factor);
    l = __builtin_fmaf(l, factor, factor);
    asm volatile(""
                 : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f), "+x"(g), "+x"(h), "+x"(i), "+x"(j), "+x"(k),
                   "+x"(l));
  }
}

}  // namespace moemill::bench
