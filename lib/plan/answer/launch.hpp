// How a plan is started: the `parallel:` block for run.yaml and the launcher's line. Used by the answer.
#pragma once

#include <string>

#include "plan/answer/search.hpp"

namespace moemill::estimate {

// The block, each line with its line break.
std::string parallel_block(const Plan& plan);
// The line of mpirun, or "" where moemill has no backend for the machine.
std::string launch_line(const Plan& plan);

}  // namespace moemill::estimate
