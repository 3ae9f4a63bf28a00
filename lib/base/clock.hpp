// Wall-clock seconds from a steady clock, and UTC time as text for files.
#pragma once

#include <chrono>
#include <ctime>
#include <string>

namespace moemill {

inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// "2026-11-22T21:46:05Z"
inline std::string utc_now() {
  std::time_t t = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&t, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

}  // namespace moemill
