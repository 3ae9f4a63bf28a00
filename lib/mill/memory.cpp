#include "mill/memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>

#include "base/error.hpp"
#include "mill/summary.hpp"

namespace moemill::mill {
namespace {

// "Name:   123 kB" of a file of /proc, in bytes.
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

// Pages of files that the kernel gives up when memory is short: they are in `current`, but in nobody's way.
std::uint64_t file_cache(const std::string& folder) {
  std::ifstream in(folder + "/memory.stat");
  std::uint64_t sum = 0, value = 0;
  for (std::string name; in >> name >> value;) {
    if (name == "inactive_file" || name == "active_file") sum += value;
  }
  return sum;
}

// This process's group under `mount` (cgroup v2), from /proc/self/cgroup; "" for the root.
std::string own_group(const std::string& groups_file) {
  std::ifstream in(groups_file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("0::/")) return line.substr(3) == "/" ? "" : line.substr(3);
  }
  return "";
}

constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

std::uint64_t left_of(std::optional<std::uint64_t> limit, std::optional<std::uint64_t> used, std::uint64_t cache) {
  if (!limit || !used || *limit >= (std::uint64_t{1} << 60)) return no_limit;
  const std::uint64_t held = *used > cache ? *used - cache : 0;
  return *limit > held ? *limit - held : 0;
}

}  // namespace

std::uint64_t cgroup_memory_left(const std::string& mount, const std::string& groups_file) {
  std::uint64_t left = no_limit;
  for (std::string group = own_group(groups_file);; group.resize(group.rfind('/'))) {
    const std::string folder = mount + group;
    left = std::min(
        left, left_of(number_in(folder + "/memory.max"), number_in(folder + "/memory.current"), file_cache(folder)));
    if (group.empty()) break;
  }
  const std::string v1 = mount + "/memory";
  return std::min(left, left_of(number_in(v1 + "/memory.limit_in_bytes"), number_in(v1 + "/memory.usage_in_bytes"),
                                file_cache(v1)));
}

std::uint64_t available_memory_bytes() {
  return std::min(proc_kilobytes("/proc/meminfo", "MemAvailable:"),
                  cgroup_memory_left("/sys/fs/cgroup", "/proc/self/cgroup"));
}

std::uint64_t peak_rss_bytes() { return proc_kilobytes("/proc/self/status", "VmHWM:"); }

std::string gib(std::uint64_t bytes) {
  double b = static_cast<double>(bytes);
  if (b >= 0x1p30 * 1000) return thousands(bytes >> 30) + " GiB";
  if (b >= 0x1p30) return fmt::format("{:.2f} GiB", b / 0x1p30);
  if (b >= 0x1p20) return fmt::format("{:.0f} MiB", b / 0x1p20);
  return fmt::format("{:.0f} KiB", b / 0x1p10);
}

}  // namespace moemill::mill
