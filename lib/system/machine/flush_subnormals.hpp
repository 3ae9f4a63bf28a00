// While one of these lives, its thread's fp32 and double arithmetic treats subnormal operands and results as zeros of
// their sign (FTZ and DAZ of MXCSR), as the matrix units of x86 always do. ThreadTeam puts every body under it, and so
// do kernels that run outside a team's work: kernels/gemm.hpp's definition relies on it.
#pragma once

#include <immintrin.h>

namespace moemill {

class FlushSubnormals {
 public:
  FlushSubnormals() : before_(_mm_getcsr()) {
    if (!on()) _mm_setcsr(before_ | bits);
  }
  ~FlushSubnormals() {
    if ((before_ & bits) != bits) _mm_setcsr(before_);
  }
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

  static bool on() { return (_mm_getcsr() & bits) == bits; }

 private:
  static constexpr unsigned bits = 0x8040;  // FTZ and DAZ
  unsigned before_;
};

}  // namespace moemill
