#include <immintrin.h>

#include "bench/peak/chains.hpp"

namespace moemill::bench {
namespace {

#include "bench/peak/chains.inl"

struct Fma {
  using Sum = __m512;
  using Operand = __m512;
  static Sum start() { return _mm512_set1_ps(0.5f); }
  static Operand operand() { return _mm512_set1_ps(0.5f); }
  static Sum step(Sum sum, Operand x) { return _mm512_fmadd_ps(sum, x, x); }
};

// What replaces a dot product where the processor has none: words multiply and add in pairs, and join the sum. Bytes
// multiply twice as fast, but their sums of two products overflow.
struct Int8Dot {
  using Sum = __m512i;
  struct Operand {
    __m512i even, odd;
  };
  static Sum start() { return _mm512_set1_epi16(1); }
  static Operand operand() { return {_mm512_set1_epi16(1), _mm512_set1_epi16(2)}; }
  static Sum step(Sum sum, Operand x) {
    const __m512i products = _mm512_add_epi32(_mm512_madd_epi16(sum, x.even), _mm512_madd_epi16(sum, x.odd));
    return _mm512_add_epi32(sum, products);
  }
};

}  // namespace

void run_fma_avx512(std::size_t rounds) { run_chains<Fma>(rounds); }
void run_int8_dot_avx512(std::size_t rounds) { run_chains<Int8Dot>(rounds); }

}  // namespace moemill::bench
