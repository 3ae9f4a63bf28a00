// The machine's measured peaks (arithmetic on registers, reads from memory), and the clocks and timing loops of all
// benchmarks. Used by bench/.
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

// Operations per second of all threads together; a multiplication and an addition count as two. 0 stands for an
// instruction that the processor does not have at the vector width of the instruction set.
struct Peaks {
  double fma = 0;       // fused multiply-adds of fp32
  double bf16_dot = 0;  // dot products of bf16 pairs that add to fp32 (vdpbf16ps)
  double int8_dot = 0;  // dot products of int8 that add to int32 (vpdpbusd, or vpmaddubsw, vpmaddwd and vpaddd)

  // What products of bf16 values can reach at most.
  double bf16() const { return fma > bf16_dot ? fma : bf16_dot; }
};
// The best of several samples.
Peaks measure_peaks(cpu::Isa isa, int threads);
// The higher of both, peak by peak: clock rates rise under load.
Peaks higher(const Peaks& a, const Peaks& b);
// Bytes per second that all threads together read from a buffer far larger than the caches.
double read_bandwidth(cpu::Stream& stream, Clock clock);

std::string cpu_model();  // the system's name of the CPU

}  // namespace moemill::bench
