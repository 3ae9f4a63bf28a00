#include "bench/report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/build_info.hpp"

namespace moemill::bench {

std::string describe(const Peaks& peaks) {
  std::string text = fmt::format("FMA peak {:.1f} GFLOP/s", peaks.fma / 1e9);
  if (peaks.bf16_dot > 0) text += fmt::format(", bf16 dot peak {:.1f} GFLOP/s", peaks.bf16_dot / 1e9);
  if (peaks.int8_dot > 0) text += fmt::format(", int8 dot peak {:.1f} GOP/s", peaks.int8_dot / 1e9);
  return text;
}

void put(nlohmann::ordered_json& out, const Peaks& peaks) {
  const auto known = [](double rate) {
    return rate > 0 ? nlohmann::ordered_json(rate) : nlohmann::ordered_json(nullptr);
  };
  out["fma_peak_flops"] = peaks.fma;
  out["bf16_dot_peak_flops"] = known(peaks.bf16_dot);
  out["int8_dot_peak_ops"] = known(peaks.int8_dot);
}

void print(const nlohmann::ordered_json& out) {
  fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void print_machine(const KernelOptions& options, const Peaks& peaks, double bandwidth) {
  fmt::print("{}, {}, {} thread{}, timed by {}\n", cpu_model(), cpu::name(options.isa), options.threads,
             options.threads == 1 ? "" : "s", describe(clock_for(options.threads)));
  fmt::print("moemill {} at {}, {}, {}\n", build_info::version(), build_info::git_commit(), build_info::compiler(),
             build_info::build_type());
  fmt::print("{}, memory reads {:.1f} GB/s\n\n", describe(peaks), bandwidth / 1e9);
}

nlohmann::ordered_json machine_json(const KernelOptions& options, const Peaks& peaks, double bandwidth) {
  nlohmann::ordered_json out{{"cpu", cpu_model()},
                             {"isa", cpu::name(options.isa)},
                             {"threads", options.threads},
                             {"clock", describe(clock_for(options.threads))},
                             {"version", build_info::version()},
                             {"commit", build_info::git_commit()},
                             {"read_bytes_per_second", bandwidth},
                             {"results", nlohmann::ordered_json::array()}};
  put(out, peaks);
  return out;
}

}  // namespace moemill::bench
