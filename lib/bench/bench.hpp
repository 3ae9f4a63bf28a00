// `moemill bench …`: measures kernels and steps on this machine and prints them with their share of the peak measured
// in the same run. Called by the app on every rank with the words behind `bench`; returns the exit code, throws
// UserError for wrong ones. Each benchmark is a sub-command with its own file.
#pragma once

#include <string>
#include <vector>

#include "system/comm/comm.hpp"

namespace moemill::bench {

int run_bench(const std::vector<std::string>& args, const Comm& world);

}  // namespace moemill::bench
