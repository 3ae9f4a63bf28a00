// The steps of a run of many ranks, counted by its own scheduler on lengths alone. Used by `bench simulate`.
#pragma once

#include <cstdint>

#include "plan/forecast/dry_run.hpp"
#include "plan/forecast/work_lengths.hpp"

namespace moemill::bench {

struct CountedRun {
  std::uint64_t steps = 0;
  std::uint64_t answers = 0;
  std::uint64_t prompt_rows = 0, generated_tokens = 0;
  std::uint64_t shared_rows = 0;       // that samples of a prompt do not compute, as another one has
  double rows_mean = 0, rows_max = 0;  // of a step's ranks, summed over steps
  std::uint64_t tail_steps = 0;        // behind the last one in which every rank had rows
  std::uint64_t least_steps = 0;       // of the longest answer, which no layout can shorten

  double mean_over_max() const { return rows_max > 0 ? rows_mean / rows_max : 1; }
};

// One expert domain of so many ranks, each with room for `sequences` of the longest sequences. UserError as dry_run.
struct RunLimits {
  std::uint32_t ranks = 1;
  std::uint32_t sequences = 256;        // of a rank at a time
  std::uint32_t batched_tokens = 2048;  // rows of a rank in a step
};
CountedRun count_run(const mill::WorkLengths& work, const RunLimits& limits);

}  // namespace moemill::bench
