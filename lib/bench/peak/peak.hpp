// The machine's measured peaks, fused multiply-adds from registers and reads from memory, and the clocks and timing
// loops of all benchmarks. Used by bench/.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "kernels/cpu/stream.hpp"

namespace moemill::bench {

// One thread is timed by its own CPU clock, so that different programs on the core do not count; a team is timed by the
// wall clock.
enum class Clock { ThreadCpu, Wall };
Clock clock_for(int threads);
const char* describe(Clock clock);
double read_clock(Clock clock);  // seconds

struct Timing {
  double best, median;  // seconds of one call
};
// Calls body(i) with i = 0, 1, 2, ... for about `seconds`, at least three times, after one call that does not count.
Timing measure(Clock clock, double seconds, const std::function<void(std::size_t call)>& body);

// The rate of all threads together, the best of several samples; a multiply-add counts as two operations.
struct FmaPeak {
  double gflops;
};
FmaPeak measure_fma_peak(cpu::Isa isa, int threads);
// Bytes per second that all threads together read from a buffer far larger than the caches.
double read_bandwidth(cpu::Stream& stream, Clock clock);

std::string cpu_model();  // the system's name of the CPU

}  // namespace moemill::bench
