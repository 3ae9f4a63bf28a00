#include "bench/peak/chains.hpp"

namespace moemill::bench {
namespace {

#include "bench/peak/chains.inl"

// One lane, like the plain bodies: fmaf is the C library's function unless the compiler may use FMA.
struct Fma {
  using Sum = float;
  using Operand = float;
  static Sum start() { return 0.5f; }
  static Operand operand() { return 0.5f; }
  static Sum step(Sum sum, Operand x) { return __builtin_fmaf(sum, x, x); }
};

}  // namespace

void run_fma_plain(std::size_t rounds) { run_chains<Fma>(rounds); }

}  // namespace moemill::bench
