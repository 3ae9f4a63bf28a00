// Register-only chains of fused multiply-adds, one function per instruction set. Used by peak.cpp.
#pragma once

#include <cstddef>

namespace moemill::bench {

constexpr std::size_t fma_chains = 12;  // latency times pipes is 8 to 10 on the CPUs of interest

// Each runs one multiply-add in every chain, `rounds` times.
void run_fma_chains_plain(std::size_t rounds);   // 1 lane
void run_fma_chains_avx2(std::size_t rounds);    // 8 lanes
void run_fma_chains_avx512(std::size_t rounds);  // 16 lanes

}  // namespace moemill::bench
