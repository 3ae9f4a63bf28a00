#include "bench/peak/peak.hpp"

#include <cpuid.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "bench/peak/chains.hpp"
#include "system/files/mapped_file.hpp"

namespace moemill::bench {

namespace {

constexpr int peak_samples = 10;
constexpr double sample_seconds = 0.01;
constexpr std::size_t read_bytes = std::size_t{256} << 20;

// One instruction's chains, and how many pairs of numbers a step of one chain multiplies and adds.
struct Instruction {
  void (*run)(std::size_t rounds);
  std::size_t pairs;
};

// Instructions that the CPU has beyond the instruction sets of the kernels. They are read from CPUID directly, because
// not every compiler's __builtin_cpu_supports knows these names.
struct DotSupport {
  bool avx512vnni = false, avxvnni = false;
};
DotSupport dot_support() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  DotSupport has;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) has.avx512vnni = (c >> 11) & 1;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) has.avxvnni = (a >> 4) & 1;
  return has;
}

Instruction fma_of(cpu::Isa isa) {
  if (isa >= cpu::Isa::Avx512) return {run_fma_avx512, 16};
  return isa == cpu::Isa::Avx2 ? Instruction{run_fma_avx2, 8} : Instruction{run_fma_plain, 1};
}

std::optional<Instruction> bf16_dot_of(cpu::Isa isa) {
  if (isa < cpu::Isa::Avx512 || !cpu::available(cpu::Isa::Avx512Bf16)) return std::nullopt;
  return Instruction{run_bf16_dot_avx512bf16, 32};
}

std::optional<Instruction> int8_dot_of(cpu::Isa isa) {
  const DotSupport has = dot_support();
  if (isa >= cpu::Isa::Avx512) return Instruction{has.avx512vnni ? run_int8_dot_avx512vnni : run_int8_dot_avx512, 64};
  if (isa == cpu::Isa::Avx2) return Instruction{has.avxvnni ? run_int8_dot_avxvnni : run_int8_dot_avx2, 32};
  return std::nullopt;
}

// Operations per second of all threads of the team, the best of several samples.
double rate_of(const Instruction& instruction, ThreadTeam& team, Clock clock) {
  std::size_t rounds = 1000;
  auto seconds_of = [&](std::size_t count) {
    const double start = read_clock(clock);
    team.parallel_for(static_cast<std::size_t>(team.size()), 1,
                      [&](std::size_t, std::size_t, int) { instruction.run(count); });
    return read_clock(clock) - start;
  };
  while (seconds_of(rounds) < sample_seconds) rounds *= 2;
  double best = seconds_of(rounds);
  for (int i = 1; i < peak_samples; ++i) best = std::min(best, seconds_of(rounds));
  return static_cast<double>(rounds * chains * instruction.pairs * 2 * static_cast<std::size_t>(team.size())) / best;
}

// Sums whole cache lines, so that every byte is fetched and the compiler can omit nothing. Four streams and prefetching
// 2 KiB ahead keep more lines in flight than the hardware prefetcher on a single stream.
std::uint64_t read_all(const std::uint64_t* p, std::size_t count) {
  constexpr std::size_t streams = 4, line = 8, ahead = 256;  // in words
  const std::size_t length = count / streams / line * line;
  std::uint64_t sum[streams] = {};
  for (std::size_t i = 0; i < length; i += line) {
    for (std::size_t s = 0; s < streams; ++s) {
      const std::uint64_t* at = p + s * length + i;
      __builtin_prefetch(at + ahead);
      for (std::size_t j = 0; j < line; ++j) sum[s] += at[j];
    }
  }
  return sum[0] + sum[1] + sum[2] + sum[3];
}

}  // namespace

Clock clock_for(int threads) { return threads == 1 ? Clock::ThreadCpu : Clock::Wall; }

const char* describe(Clock clock) { return clock == Clock::ThreadCpu ? "thread CPU time" : "wall time"; }

double read_clock(Clock clock) {
  if (clock == Clock::Wall) return now_seconds();
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

Timing measure(Clock clock, double seconds, const std::function<void(std::size_t call)>& body) {
  std::vector<double> times;
  body(0);
  const double start = now_seconds();
  while (times.size() < 3 || now_seconds() - start < seconds) {
    const double before = read_clock(clock);
    body(times.size() + 1);
    times.push_back(read_clock(clock) - before);
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

Peaks measure_peaks(cpu::Isa isa, int threads) {
  ThreadTeam team(threads);
  const Clock clock = clock_for(threads);
  const auto rate = [&](const std::optional<Instruction>& of) { return of ? rate_of(*of, team, clock) : 0.0; };
  return {rate(fma_of(isa)), rate(bf16_dot_of(isa)), rate(int8_dot_of(isa))};
}

Peaks higher(const Peaks& a, const Peaks& b) {
  return {std::max(a.fma, b.fma), std::max(a.bf16_dot, b.bf16_dot), std::max(a.int8_dot, b.int8_dot)};
}

double read_bandwidth(cpu::Stream& stream, Clock clock) {
  constexpr std::size_t words = read_bytes / sizeof(std::uint64_t);
  const MappedMemory memory(read_bytes, "measuring reads");  // as weights lie, on huge pages where the system has them
  auto* const values = reinterpret_cast<std::uint64_t*>(memory.data());
  std::fill_n(values, words, std::uint64_t{1});  // real pages instead of the kernel's shared page of zeros
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(stream.team().size()));
  const Timing t = measure(clock, 10 * sample_seconds, [&](std::size_t) {
    stream.team().parallel_for(words, std::size_t{1} << 16, [&](std::size_t begin, std::size_t end, int thread) {
      volatile std::uint64_t& sink = sums[static_cast<std::size_t>(thread)];
      sink = read_all(values + begin, end - begin);
    });
  });
  return static_cast<double>(read_bytes) / t.best;
}

}  // namespace moemill::bench
