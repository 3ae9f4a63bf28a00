// `moemill validate` and `run --dry-run`: everything that can be known before a job starts, told on stdout. One
// process, no compute, nothing written. Without an input file, and even without weights, it still answers whether the
// model fits.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "job/run_setup.hpp"

namespace moemill::mill {

struct ValidateRequest {
  RunRequest run;
  std::uint32_t ranks = 1;
  std::optional<std::uint32_t> ranks_per_node;   // on one machine; absent: as parallel says, else all of them
  std::optional<std::uint64_t> node_bytes = {};  // memory of such a machine; absent: what is free here
  enum class Input { Needed, Optional } input = Input::Needed;
};

// Done, or Usage when the job cannot work; what is wrong stands in the text. UserError for faults that end the look.
ExitCode validate(const ValidateRequest& request);

}  // namespace moemill::mill
