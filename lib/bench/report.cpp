#include "bench/report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/build_info.hpp"
#include "bench/peak/peak.hpp"

namespace moemill::bench {

void print_machine(const KernelOptions& options, double peak, double bandwidth) {
  fmt::print("{}, {}, {} thread{}, timed by {}\n", cpu_model(), cpu::name(options.isa), options.threads,
             options.threads == 1 ? "" : "s", describe(clock_for(options.threads)));
  fmt::print("moemill {} at {}, {}, {}\n", build_info::version(), build_info::git_commit(), build_info::compiler(),
             build_info::build_type());
  fmt::print("FMA peak {:.1f} GFLOP/s, memory reads {:.1f} GB/s\n\n", peak / 1e9, bandwidth / 1e9);
}

nlohmann::json machine_json(const KernelOptions& options, double peak, double bandwidth) {
  return {{"cpu", cpu_model()},
          {"isa", cpu::name(options.isa)},
          {"threads", options.threads},
          {"clock", describe(clock_for(options.threads))},
          {"version", build_info::version()},
          {"commit", build_info::git_commit()},
          {"fma_peak_flops", peak},
          {"read_bytes_per_second", bandwidth},
          {"results", nlohmann::json::array()}};
}

}  // namespace moemill::bench
