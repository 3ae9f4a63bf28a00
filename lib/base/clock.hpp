// Wall-clock seconds from a steady clock, and UTC time as text for files.
#pragma once

#include <chrono>
#include <ctime>
#include <optional>
#include <string>

namespace moemill {

inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr const char* utc_format = "%Y-%m-%dT%H:%M:%SZ";

// "2026-11-22T21:46:05Z"
inline std::string utc_text(std::time_t t) {
  std::tm utc{};
  gmtime_r(&t, &utc);
  char text[32];
  std::strftime(text, sizeof text, utc_format, &utc);
  return text;
}
inline std::string utc_now() { return utc_text(std::time(nullptr)); }

// Nothing for text of any other form.
inline std::optional<std::time_t> parse_utc(const std::string& text) {
  std::tm utc{};
  const char* end = strptime(text.c_str(), utc_format, &utc);
  if (!end || *end) return std::nullopt;
  return timegm(&utc);
}

}  // namespace moemill
