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

// Trivially copyable, because the ranks of a node gather it as bytes.
struct CpuView {
  static constexpr std::size_t most_cpus = 8192;
  std::array<std::uint64_t, most_cpus / 64> mask{};  // bit c: CPU c may be used
  double quota = 0;                // CPU seconds per second that the tightest control group allows; 0: no limit
  std::uint64_t quota_group = 0;   // identifies that group: ranks with equal numbers share it
  std::uint32_t machine_cpus = 0;  // online and allowed by the control group, whatever the binding

  std::uint32_t count() const;
};

CpuView make_cpu_view(std::span<const std::uint32_t> cpus);
// The kernel's view of this process. For `root` see control_groups.
CpuView this_process_cpus(const std::string& root = "");
// Parses "0-3,8", the kernel's form of a list of CPUs; a malformed list is empty.
std::vector<std::uint32_t> parse_cpu_list(std::string_view text);
// Sets the view's quota from the control groups of `root`.
void read_cpu_quota(const std::string& root, CpuView& view);

// A process's fair share of its node among the processes `beside` (itself included): each CPU is shared by those that
// may use it, and a control group's time by its members. At least one thread.
std::uint32_t fair_threads(std::span<const CpuView> beside, std::size_t mine);
// The number of CPUs that at least one of these processes may use, limited by the control groups' time.
std::uint32_t usable_cpus(std::span<const CpuView> beside);

}  // namespace moemill
