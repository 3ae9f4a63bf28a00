#include "system/machine/memory.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "base/error.hpp"
#include "system/machine/cgroup.hpp"

namespace moemill {
namespace {

// Reads "Name:   123 kB" from a file of /proc; returns bytes.
std::uint64_t proc_kilobytes(const char* path, std::string_view name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    auto digit = line.find_first_of("0123456789");
    std::uint64_t value = 0;
    if (digit != std::string::npos &&
        std::from_chars(line.data() + digit, line.data() + line.size(), value).ec == std::errc())
      return value * 1024;
  }
  system_error("{}: has no line '{}'", path, name);
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  std::ifstream in(path);
  std::uint64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;  // absent, or the word "max"
}

// Bytes of cached files, which the kernel evicts when memory is short although it counts them as used. Version 1 has
// separate counters that include the groups below.
std::uint64_t file_cache(const ControlGroup& group) {
  const std::string prefix = group.version == 1 ? "total_" : "";
  std::ifstream in(group.folder + "/memory.stat");
  std::uint64_t sum = 0, value = 0;
  for (std::string name; in >> name >> value;) {
    if (name == prefix + "inactive_file" || name == prefix + "active_file") sum += value;
  }
  return sum;
}

// The root of version 1 reports a limit of 2^63 rounded down to pages, which means no limit.
constexpr std::uint64_t no_limit = std::uint64_t{1} << 60;

std::optional<std::uint64_t> limit_of(const ControlGroup& group) {
  std::uint64_t least = no_limit;
  const auto names =
      group.version == 1 ? std::vector{"/memory.limit_in_bytes"} : std::vector{"/memory.max", "/memory.high"};
  for (const char* name : names) least = std::min(least, number_in(group.folder + name).value_or(no_limit));
  return least < no_limit ? std::optional(least) : std::nullopt;
}

std::uint64_t minus(std::uint64_t limit, std::uint64_t held) { return limit > held ? limit - held : 0; }

void keep_least(MemoryLeft& least, std::uint64_t bytes, const std::string& limit) {
  if (bytes < least.bytes) least = {bytes, limit};
}

// What a ulimit leaves to this process. `counted` is the line of /proc/self/status that the limit applies to.
std::optional<std::uint64_t> ulimit_left(int resource, const char* counted) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::nullopt;
  return minus(limit.rlim_cur, proc_kilobytes("/proc/self/status", counted));
}

}  // namespace

std::optional<MemoryLeft> cgroup_memory_left(const std::string& root) {
  std::optional<MemoryLeft> least;
  for (const ControlGroup& group : control_groups(root, "memory")) {
    const auto limit = limit_of(group);
    const auto used = number_in(group.folder + (group.version == 1 ? "/memory.usage_in_bytes" : "/memory.current"));
    if (!limit || !used) continue;
    const std::uint64_t left = minus(*limit, minus(*used, file_cache(group)));
    if (!least || left < least->bytes) least = MemoryLeft{left, "the control group " + group.folder};
  }
  return least;
}

MemorySources memory_sources() {
  MemorySources sources;
  sources.slurm = slurm_job([](const char* name) { return std::getenv(name); });
  sources.process_bytes = ulimit_left(RLIMIT_AS, "VmSize:");
  if (const auto data = ulimit_left(RLIMIT_DATA, "VmData:"))
    sources.process_bytes = std::min(*data, sources.process_bytes.value_or(*data));
  sources.held_bytes = proc_kilobytes("/proc/self/status", "RssAnon:");
  return sources;
}

MemoryLeft memory_left(int ranks_on_machine, const MemorySources& sources) {
  const auto ranks = static_cast<std::uint64_t>(ranks_on_machine);
  MemoryLeft least{proc_kilobytes((sources.root + "/proc/meminfo").c_str(), "MemAvailable:"), ""};
  if (const auto group = cgroup_memory_left(sources.root)) keep_least(least, group->bytes, group->limit);
  if (const auto job = sources.slurm.memory_on_node_bytes)
    keep_least(least, minus(*job, ranks * sources.held_bytes + sources.shared_bytes), "Slurm's --mem");
  const std::uint64_t to_come = sources.shared_bytes_to_come;
  if (sources.process_bytes)
    keep_least(least, ranks * minus(*sources.process_bytes, to_come) + std::min(*sources.process_bytes, to_come),
               "ulimit -v or -d");
  return least;
}

// Entries of /proc/self/smaps begin with "begin-end flags ..." in hexadecimal, and go on with lines "Name:  12 kB".
MappingUse mapping_use(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  MappingUse use;
  bool here = false;
  std::ifstream in("/proc/self/smaps");
  for (std::string line; std::getline(in, line);) {
    std::uintptr_t begin = 0, end = 0;
    const char* const last = line.data() + line.size();
    const auto [dash, error] = std::from_chars(line.data(), last, begin, 16);
    if (error == std::errc() && dash != last && *dash == '-' &&
        std::from_chars(dash + 1, last, end, 16).ec == std::errc())
      here = begin <= wanted && wanted < end;
    if (!here) continue;
    const auto kilobytes = [&](std::string_view name) {
      return line.starts_with(name) ? std::strtoull(line.c_str() + name.size(), nullptr, 10) * 1024 : 0;
    };
    use.resident_bytes += kilobytes("Rss:");
    use.huge_bytes += kilobytes("AnonHugePages:") + kilobytes("ShmemPmdMapped:");
  }
  return use;
}

std::uint64_t peak_rss_bytes() { return proc_kilobytes("/proc/self/status", "VmHWM:"); }

}  // namespace moemill
