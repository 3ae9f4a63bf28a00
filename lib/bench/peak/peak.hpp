// The machine's measured peaks (arithmetic on registers, reads from memory), and the clocks and timing loops of all
// benchmarks. Used by bench/.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "kernels/cpu/stream.hpp"
#include "system/machine/cpu_model.hpp"

namespace moemill::bench {

// One thread is timed by its own CPU clock, so that other programs on the core do not count; a team is timed by the
// wall clock.
enum class Clock { ThreadCpu, Wall };
Clock clock_for(int threads);
const char* describe(Clock clock);
double read_clock(Clock clock);  // seconds

struct Timing {
  double best, median;  // seconds per call
};
// Calls body(0) once without timing it, then body(1), body(2), ... for about `seconds`, at least three times.
Timing measure(Clock clock, double seconds, const std::function<void(std::size_t call)>& body);

// Operations per second of all threads together; one multiply-add counts as two operations. A peak is 0 if the
// processor lacks the instruction at the vector width of the chosen instruction set.
struct Peaks {
  double fma = 0;       // fp32 fused multiply-adds
  double bf16_dot = 0;  // dot products of bf16 pairs that add to fp32 (vdpbf16ps)
  double int8_dot = 0;  // dot products of int8 that add to int32 (vpdpbusd, or twice vpmaddwd and vpaddd)

  // The most that a product of bf16 matrices can reach.
  double bf16() const { return fma > bf16_dot ? fma : bf16_dot; }
};
// Returns the best of several samples for each peak.
Peaks measure_peaks(cpu::Isa isa, int threads);
// The higher value of each peak. Benchmarks measure before and after their work, because clock rates rise under load.
Peaks higher(const Peaks& a, const Peaks& b);
// Bytes per second that all threads together read from a buffer far larger than the caches.
double read_bandwidth(cpu::Stream& stream, Clock clock);

}  // namespace moemill::bench
