// `moemill validate` and `run --dry-run`: prints everything that can be known before a job starts. It runs in one
// process, generates nothing and writes nothing. Even without an input file or weights it reports whether the model
// fits.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "job/run_setup.hpp"

namespace moemill::mill {

struct ValidateRequest {
  RunRequest run;
  std::uint32_t ranks = 1;
  std::optional<std::uint32_t> ranks_per_node;   // absent: parallel.ranks_per_node if set, else all ranks
  std::optional<std::uint64_t> node_bytes = {};  // memory per machine; absent: what is free on this machine
  enum class Input { Needed, Optional } input = Input::Needed;
};

// Returns Done, or Usage if the job cannot work, and prints why. Throws UserError for faults that end the check early.
ExitCode validate(const ValidateRequest& request);

}  // namespace moemill::mill
