// `moemill bench exchange`, under mpirun: dispatch and combine of a MoE layer's rows over all ranks, without any
// expert's work between them, against the same bytes sent by bare transfers and copied in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/options.hpp"
#include "bench/peak/peak.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

struct ExchangeOptions : CommonOptions {
  std::vector<std::size_t> rows;  // rows per rank, one measurement each
  std::uint32_t hidden = 1024, experts = 32, picks = 4;
  std::uint32_t steps = 200;  // per measurement, after one that is not measured
};

// Times are wall clock and of the slowest rank in each step; bytes are what the rank that sends most sends.
struct ExchangeResult {
  std::size_t rows;
  std::uint64_t rows_sent, rows_deduplicated;  // of all ranks, one step
  std::uint64_t bytes;                         // dispatch and combine
  Timing dispatch, combine, whole;
  Timing transfers;  // the same numbers of bytes there and back, nothing packed, listed or summed
  Timing copy;       // memcpy of as many bytes on one rank
};

std::vector<ExchangeResult> measure_exchange(const ExchangeOptions& options, const Comm& world);
// Rank 0 of `world` prints.
int run_exchange_bench(const std::vector<std::string>& args, const Comm& world);

}  // namespace moemill::bench
