// The head of each kernel benchmark's output: machine, commit, instruction set, peaks; and the peaks as words and as
// JSON for all benchmarks.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "bench/options.hpp"
#include "bench/peak/peak.hpp"

namespace moemill::bench {

// `bandwidth` in bytes per second.
void print_machine(const KernelOptions& options, const Peaks& peaks, double bandwidth);
nlohmann::ordered_json machine_json(const KernelOptions& options, const Peaks& peaks, double bandwidth);

// "FMA peak 118.2 GFLOP/s, bf16 dot peak 236.4 GFLOP/s", and so on.
std::string describe(const Peaks& peaks);
// Puts fma_peak_flops, bf16_dot_peak_flops and int8_dot_peak_ops; null where the processor has no such instruction.
void put(nlohmann::ordered_json& out, const Peaks& peaks);
// The whole of stdout under --json. Paths may hold bytes that are no UTF-8; those are replaced.
void print(const nlohmann::ordered_json& out);

}  // namespace moemill::bench
