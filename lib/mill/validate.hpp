// `moemill validate` and `run --dry-run`: everything that can be known before a job starts, told on stdout. One
// process, no compute, nothing written.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "mill/run_setup.hpp"

namespace moemill::mill {

struct ValidateRequest {
  RunRequest run;
  int ranks = 1;
  std::optional<std::uint32_t> ranks_per_node;  // on one machine; absent: all of them
};

// Done, or Usage when the job cannot work; what is wrong stands in the text. UserError for faults that end the look.
ExitCode validate(const ValidateRequest& request);

}  // namespace moemill::mill
