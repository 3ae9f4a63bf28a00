#include "bench/peak/fma_chains.hpp"

namespace moemill::bench {
namespace {

// One lane, like the plain bodies: fmaf is the C library's function unless the compiler may use FMA.
using Vector = float;
inline Vector splat(float value) { return value; }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return __builtin_fmaf(a, b, c); }

#include "bench/peak/fma_chains.inl"

}  // namespace

void run_fma_chains_plain(std::size_t rounds) { run_chains(rounds); }

}  // namespace moemill::bench
