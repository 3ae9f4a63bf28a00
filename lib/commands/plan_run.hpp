// `moemill plan -c run.yaml --ranks R --calibration FILE`: the wall time of a run on machines like this one. The real
// scheduler runs on the lengths of the run's prompts, without weights. One process, no MPI.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/run_config.hpp"

namespace moemill::mill {

struct PlanRunRequest {
  RunConfig config;
  std::string calibration;  // file
  std::uint32_t ranks = 1;
  std::optional<std::uint32_t> ranks_per_node;  // absent: parallel.ranks_per_node if set, else all ranks
  std::string output_tokens;                    // a mean, or a file of lengths; "": all answers reach max_tokens
};

// The answer as text, its first line the time. UserError if the run cannot work.
std::string plan_run(const PlanRunRequest& request);

}  // namespace moemill::mill
