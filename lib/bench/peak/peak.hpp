// What this machine can do at most, measured: fused multiply-adds from registers and reads from memory; and the way
// every benchmark takes its times. Used by *_bench.cpp.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "kernels/stream.hpp"

namespace moemill::bench {

// One thread is timed by its own CPU clock, so neighbours on the core do not count; a team by the wall clock.
enum class Clock { ThreadCpu, Wall };
Clock clock_for(int threads);
const char* describe(Clock clock);
double read_clock(Clock clock);  // seconds

struct Timing {
  double best, median;  // seconds of one call
};
// Calls body(i) with i = 0, 1, 2, ... for about `seconds`, at least three times, after one call that does not count.
Timing measure(Clock clock, double seconds, const std::function<void(std::size_t call)>& body);

// Of all threads together, a multiply-add counting two; best of several samples. Twelve chains a thread, each result
// hidden from the compiler so that none can be merged or dropped.
struct FmaPeak {
  double gflops;
};
FmaPeak measure_fma_peak(cpu::Isa isa, int threads);
// Bytes a second read from memory by all threads together, from a buffer far larger than the caches.
double read_bandwidth(cpu::Stream& stream, Clock clock);

std::string cpu_model();  // as the system names it

}  // namespace moemill::bench
