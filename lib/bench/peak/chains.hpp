// Register-only chains of the arithmetic instructions whose rates are a processor's peaks: fused multiply-adds of fp32,
// dot products of bf16 pairs that add to fp32, and dot products of int8 that add to int32. One file per instruction
// set. Used by peak.cpp.
#pragma once

#include <cstddef>

namespace moemill::bench {

constexpr std::size_t chains = 12;  // latency times pipes is 8 to 10 on the CPUs of interest

// Each runs one step of every chain, `rounds` times. A step multiplies and adds as many pairs as its comment says.
void run_fma_plain(std::size_t rounds);            // 1 pair
void run_fma_avx2(std::size_t rounds);             // 8 pairs
void run_fma_avx512(std::size_t rounds);           // 16 pairs
void run_bf16_dot_avx512bf16(std::size_t rounds);  // 32 pairs
void run_int8_dot_avx2(std::size_t rounds);        // 32 pairs by four instructions
void run_int8_dot_avxvnni(std::size_t rounds);     // 32 pairs
void run_int8_dot_avx512(std::size_t rounds);      // 64 pairs by four instructions
void run_int8_dot_avx512vnni(std::size_t rounds);  // 64 pairs

}  // namespace moemill::bench
