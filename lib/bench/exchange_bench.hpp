// `moemill bench exchange`, under mpirun: dispatch and combine of an MoE layer's rows over all ranks, with no expert
// computation between them, compared with bare transfers and with a copy in memory of the same number of bytes.
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
  std::uint32_t steps = 200;  // timed per measurement, after one untimed step
  std::uint32_t nodes = 0;    // as if the ranks were on so many; 0: as they are
};

// The wall-clock times are those of the slowest rank in each step.
struct ExchangeResult {
  std::size_t rows;
  std::uint64_t rows_sent, rows_deduplicated;  // per step, all ranks together
  std::uint64_t bytes;                         // that the busiest rank sends per step, dispatch and combine together
  std::uint64_t messages;                      // likewise
  Timing dispatch, combine, whole;             // `whole` is dispatch plus combine
  Timing transfers;                            // `bytes` in two bare transfers, without packing, lists or sums
  Timing copy;                                 // memcpy of `bytes` on each rank
};

std::vector<ExchangeResult> measure_exchange(const ExchangeOptions& options, const Comm& world);
// Runs the command and returns its exit code. Rank 0 of `world` prints.
int run_exchange_bench(const std::vector<std::string>& args, const Comm& world);

}  // namespace moemill::bench
