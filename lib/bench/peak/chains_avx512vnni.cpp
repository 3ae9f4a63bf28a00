#include <immintrin.h>

#include "bench/peak/chains.hpp"

namespace moemill::bench {
namespace {

#include "bench/peak/chains.inl"

struct Int8Dot {
  using Sum = __m512i;
  using Operand = __m512i;
  static Sum start() { return _mm512_set1_epi8(1); }
  static Operand operand() { return start(); }
  static Sum step(Sum sum, Operand x) { return _mm512_dpbusd_epi32(sum, x, x); }
};

}  // namespace

void run_int8_dot_avx512vnni(std::size_t rounds) { run_chains<Int8Dot>(rounds); }

}  // namespace moemill::bench
