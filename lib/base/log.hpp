// The program's log: lines on stderr with time, level and rank. Never called per token.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace moemill::log {

enum class Level { Trace, Debug, Info, Warning, Error, Off };

Level parse_level(std::string_view name);  // trace|debug|info|warning|error|off; throws UserError otherwise
// Sets up the process's log once: lines carry `rank R` when `world_size` > 1.
void start(Level level, int rank, int world_size);
bool enabled(Level level);
void write(Level level, std::string_view line);

template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::Debug)) write(Level::Debug, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::Info)) write(Level::Info, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::Warning)) write(Level::Warning, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::Error)) write(Level::Error, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace moemill::log
