// `moemill bench …`: measures kernels and steps on this machine and prints them with their share of the peak measured
// in the same run. The app calls it on every rank with the words after `bench`. Returns the exit code; UserError for
// invalid words. Each benchmark is a sub-command in a file of its own.
#pragma once

#include <string>
#include <vector>

#include "system/comm/comm.hpp"

namespace moemill::bench {

int run_bench(const std::vector<std::string>& args, const Comm& world);

}  // namespace moemill::bench
