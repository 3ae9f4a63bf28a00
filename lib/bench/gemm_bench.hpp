// `moemill bench gemm`: C[M, N] = A[M, K] * W[K, N] with packed weights, in bf16, kept as stored or quantised to int8,
// for weights cold in memory (as the experts of a layer are) and warm in cache, with shares of the peaks and of what
// memory bandwidth allows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/options.hpp"
#include "bench/peak/peak.hpp"

namespace moemill::bench {

struct GemmResult {
  std::uint32_t k, n;
  std::size_t rows;
  cpu::Format weights;
  std::size_t weight_bytes;
  Timing cold, warm;  // seconds per product
};

struct GemmReport {
  Peaks peaks;
  double bandwidth;  // bytes per second
  std::vector<GemmResult> results;
};

GemmReport measure_gemm(const KernelOptions& options);
int run_gemm_bench(const std::vector<std::string>& args);

}  // namespace moemill::bench
