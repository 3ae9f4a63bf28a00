#include "base/text/format.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>

namespace moemill {

std::string thousands(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

std::string counted(std::uint64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", thousands(count), count == 1 ? one : many);
}

std::string clock_text(double seconds) {
  auto s = static_cast<std::uint64_t>(std::clamp(seconds + 0.5, 0.0, 1e15));  // a file may hold any number
  if (seconds < 10) return fmt::format("{:.1f}s", seconds);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

std::string gib(std::uint64_t bytes) {
  double b = static_cast<double>(bytes);
  if (b >= 0x1p30 * 1000) return thousands(bytes >> 30) + " GiB";
  if (b >= 0x1p30) return fmt::format("{:.2f} GiB", b / 0x1p30);
  if (b >= 0x1p20) return fmt::format("{:.0f} MiB", b / 0x1p20);
  return fmt::format("{:.0f} KiB", b / 0x1p10);
}

}  // namespace moemill
