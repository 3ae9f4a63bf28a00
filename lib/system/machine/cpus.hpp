// The CPUs that this process may use: the affinity mask that launchers and batch systems leave, and the CPU time that
// control groups allow. Used to choose the number of threads.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moemill {

// Plain numbers only: ranks of a node gather it as bytes.
struct CpuView {
  static constexpr std::size_t most_cpus = 8192;
  std::array<std::uint64_t, most_cpus / 64> mask{};  // bit c: CPU c may be used
  double quota = 0;                // CPUs' worth of time that the tightest control group allows; 0: no limit
  std::uint64_t quota_group = 0;   // the same number: the same group
  std::uint32_t machine_cpus = 0;  // on line, and allowed by the control group: also those that a binding leaves out

  std::uint32_t count() const;
};

CpuView make_cpu_view(std::span<const std::uint32_t> cpus);
// As the kernel says. `root`: see control_groups.
CpuView this_process_cpus(const std::string& root = "");
// "0-3,8" as the kernel writes lists of CPUs; what is no list has none.
std::vector<std::uint32_t> parse_cpu_list(std::string_view text);
// CPUs' worth of time by the control groups of `root`, into view.
void read_cpu_quota(const std::string& root, CpuView& view);

// What a process may use on its node, when those beside it (itself included) take as much: each CPU is shared by those
// that may use it, a control group's time by those in it. At least one.
std::uint32_t fair_threads(std::span<const CpuView> beside, std::size_t mine);
// CPUs that at least one of them may use, at most as many as control groups give time for.
std::uint32_t usable_cpus(std::span<const CpuView> beside);

}  // namespace moemill
