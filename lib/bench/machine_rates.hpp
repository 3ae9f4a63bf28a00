// The rates of this machine, with all ranks of the launch busy at the same time: peaks, memory reads and links. Used by
// `bench calibrate`.
#pragma once

#include <vector>

#include "kernels/cpu/stream.hpp"
#include "plan/calibration/calibration.hpp"
#include "plan/machine.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

struct MachineRates {
  mill::Machine machine;
  calibration::Messages messages;
};
// Collective; the same value on all ranks.
MachineRates measure_machine(const Comm& world, cpu::Isa isa, int threads);

}  // namespace moemill::bench
