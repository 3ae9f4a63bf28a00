#include "mill/memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>

#include "base/error.hpp"

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

std::optional<std::uint64_t> number_in(const char* path) {
  std::ifstream in(path);
  std::uint64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;  // absent, or the word "max"
}

std::uint64_t cgroup_left() {
  const std::pair<const char*, const char*> limits[] = {
      {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
  for (auto [limit_file, used_file] : limits) {
    auto limit = number_in(limit_file), used = number_in(used_file);
    if (limit && used && *limit < (std::uint64_t{1} << 60)) return *limit > *used ? *limit - *used : 0;
  }
  return std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

std::uint64_t available_memory_bytes() {
  return std::min(proc_kilobytes("/proc/meminfo", "MemAvailable:"), cgroup_left());
}

std::uint64_t peak_rss_bytes() { return proc_kilobytes("/proc/self/status", "VmHWM:"); }

std::string gib(std::uint64_t bytes) {
  double b = static_cast<double>(bytes);
  if (b >= 0x1p30) return fmt::format("{:.2f} GiB", b / 0x1p30);
  if (b >= 0x1p20) return fmt::format("{:.0f} MiB", b / 0x1p20);
  return fmt::format("{:.0f} KiB", b / 0x1p10);
}

}  // namespace moemill::mill
