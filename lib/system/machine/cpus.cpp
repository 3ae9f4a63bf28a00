#include "system/machine/cpus.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>

#include "system/machine/cgroup.hpp"

namespace moemill {
namespace {

std::string first_line(const std::string& path) {
  std::string line;
  std::ifstream in(path);
  std::getline(in, line);
  return line;
}

// CPU seconds per second that the group allows; 0: no limit. Version 2 has one file with "QUOTA PERIOD", where a quota
// of "max" means no limit; version 1 has a file for each of the two, where a quota of -1 means no limit.
double quota_of(const ControlGroup& group) {
  double quota = 0, period = 0;
  if (group.version == 2) {
    std::ifstream in(group.folder + "/cpu.max");
    if (!(in >> quota >> period)) return 0;
  } else {
    std::ifstream(group.folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(group.folder + "/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

std::uint32_t cpus_of_machine(const std::string& root) {
  for (const ControlGroup& group : control_groups(root, "cpuset"))
    for (const char* name : {"/cpuset.cpus.effective", "/cpuset.effective_cpus", "/cpuset.cpus"})
      if (const auto cpus = parse_cpu_list(first_line(group.folder + name)); !cpus.empty())
        return static_cast<std::uint32_t>(cpus.size());
  return static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

std::uint32_t CpuView::count() const {
  std::uint32_t sum = 0;
  for (std::uint64_t word : mask) sum += static_cast<std::uint32_t>(std::popcount(word));
  return sum;
}

CpuView make_cpu_view(std::span<const std::uint32_t> cpus) {
  CpuView view;
  for (std::uint32_t cpu : cpus)
    if (cpu < CpuView::most_cpus) view.mask[cpu / 64] |= std::uint64_t{1} << (cpu % 64);
  view.machine_cpus = view.count();
  return view;
}

void read_cpu_quota(const std::string& root, CpuView& view) {
  for (const ControlGroup& group : control_groups(root, "cpu")) {
    const double quota = quota_of(group);
    if (quota <= 0 || (view.quota > 0 && view.quota <= quota)) continue;
    view.quota = quota;
    view.quota_group = std::hash<std::string>{}(group.folder);
  }
}

CpuView this_process_cpus(const std::string& root) {
  std::vector<std::uint32_t> cpus;
  cpu_set_t* set = CPU_ALLOC(CpuView::most_cpus);
  const std::size_t bytes = CPU_ALLOC_SIZE(CpuView::most_cpus);
  CPU_ZERO_S(bytes, set);
  if (::sched_getaffinity(0, bytes, set) == 0)
    for (std::uint32_t cpu = 0; cpu < CpuView::most_cpus; ++cpu)
      if (CPU_ISSET_S(cpu, bytes, set)) cpus.push_back(cpu);
  CPU_FREE(set);
  if (cpus.empty()) cpus.push_back(0);
  CpuView view = make_cpu_view(cpus);
  view.machine_cpus = std::max(view.count(), cpus_of_machine(root));
  read_cpu_quota(root, view);
  return view;
}

std::vector<std::uint32_t> parse_cpu_list(std::string_view text) {
  std::vector<std::uint32_t> cpus;
  const char *at = text.data(), *end = text.data() + text.size();
  const auto read_number = [&](std::uint32_t& value) {
    const auto [rest, error] = std::from_chars(at, end, value);
    at = rest;
    return error == std::errc() && value < CpuView::most_cpus;
  };
  while (at != end) {
    std::uint32_t first = 0;
    if (!read_number(first)) return {};
    std::uint32_t last = first;
    if (at != end && *at == '-' && (++at, !read_number(last))) return {};
    for (std::uint32_t cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    if (at != end && *at++ != ',') return {};
  }
  return cpus;
}

std::uint32_t fair_threads(std::span<const CpuView> beside, std::size_t mine) {
  const CpuView& me = beside[mine];
  double share = 0;
  for (std::uint32_t cpu = 0; cpu < CpuView::most_cpus; ++cpu) {
    const std::size_t word = cpu / 64;
    const std::uint64_t bit = std::uint64_t{1} << (cpu % 64);
    if (!(me.mask[word] & bit)) continue;
    share += 1.0 / static_cast<double>(std::count_if(beside.begin(), beside.end(),
                                                     [&](const CpuView& other) { return other.mask[word] & bit; }));
  }
  if (me.quota > 0) {
    const auto in_group = std::count_if(beside.begin(), beside.end(), [&](const CpuView& other) {
      return other.quota > 0 && other.quota_group == me.quota_group;
    });
    share = std::min(share, me.quota / static_cast<double>(in_group));
  }
  constexpr double rounding = 1e-6;  // so that 1/3 + 1/3 + 1/3 counts as a whole CPU
  return static_cast<std::uint32_t>(std::max(1.0, std::floor(share + rounding)));
}

std::uint32_t usable_cpus(std::span<const CpuView> beside) {
  CpuView all;
  std::map<std::uint64_t, double> quotas;
  bool all_limited = true;
  for (const CpuView& one : beside) {
    for (std::size_t word = 0; word < all.mask.size(); ++word) all.mask[word] |= one.mask[word];
    if (one.quota > 0)
      quotas[one.quota_group] = one.quota;
    else
      all_limited = false;
  }
  double cpus = all.count(), allowed = 0;
  for (const auto& [group, quota] : quotas) allowed += quota;
  if (all_limited && allowed > 0) cpus = std::min(cpus, std::ceil(allowed));
  return static_cast<std::uint32_t>(std::max(1.0, cpus));
}

}  // namespace moemill
