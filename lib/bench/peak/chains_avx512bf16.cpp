#include <immintrin.h>

#include "bench/peak/chains.hpp"

namespace moemill::bench {
namespace {

#include "bench/peak/chains.inl"

// A step adds two products of bf16 values to each of 16 fp32 sums.
struct Bf16Dot {
  using Sum = __m512;
  using Operand = __m512bh;
  static Sum start() { return _mm512_set1_ps(0.5f); }
  static Operand operand() { return _mm512_cvtne2ps_pbh(start(), start()); }
  static Sum step(Sum sum, Operand x) { return _mm512_dpbf16_ps(sum, x, x); }
};

}  // namespace

void run_bf16_dot_avx512bf16(std::size_t rounds) { run_chains<Bf16Dot>(rounds); }

}  // namespace moemill::bench
