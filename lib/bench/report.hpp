// The head of each kernel benchmark's output: machine, commit, instruction set, peaks.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "bench/options.hpp"

namespace moemill::bench {

// `peak` in operations per second, `bandwidth` in bytes per second.
void print_machine(const KernelOptions& options, double peak, double bandwidth);
nlohmann::json machine_json(const KernelOptions& options, double peak, double bandwidth);

}  // namespace moemill::bench
