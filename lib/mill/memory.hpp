// What the machine says about memory. Used to size the KV cache, by validate and the summary.
#pragma once

#include <cstdint>
#include <string>

namespace moemill::mill {

// MemAvailable of /proc/meminfo, or what the cgroup leaves where that is less.
std::uint64_t available_memory_bytes();
// What the memory limits of this process's control groups leave, from its own group (as /proc/self/cgroup names it) up
// to the root of `mount`; the largest number without a limit. Cached files count as free: the kernel gives them up.
std::uint64_t cgroup_memory_left(const std::string& mount, const std::string& groups_file);
// Highest resident set of this process so far (VmHWM).
std::uint64_t peak_rss_bytes();
std::string gib(std::uint64_t bytes);  // "1.25 GiB", "310 MiB"

}  // namespace moemill::mill
