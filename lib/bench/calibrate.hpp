// `moemill bench calibrate`: the rates of this machine that planning starts from, measured on all ranks of the launch,
// printed and written to a file. An existing file is compared with them and replaced.
#pragma once

#include <string>
#include <vector>

#include "kernels/cpu/stream.hpp"
#include "plan/machine.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

// Collective; the same value on all ranks.
mill::Machine measure_machine(const Comm& world, cpu::Isa isa, int threads);
int run_calibrate(const std::vector<std::string>& args, const Comm& world);

}  // namespace moemill::bench
