// The program's log: lines on stderr with time, level and rank; also_to() sends them to a second place. Never called
// per token.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string_view>
#include <utility>

namespace moemill::log {

enum class Level { Trace, Debug, Info, Warning, Error, Off };

Level parse_level(std::string_view name);  // trace|debug|info|warning|error|off; UserError for unknown names
// Sets up the process's log; call it once. Lines carry `rank R` if `world_size` > 1.
void start(Level level, int rank, int world_size);
// Sends each line to `take` as well, as "2026-01-31T23:59:59Z info: text" (UTC) without a line break, until the next
// call; an empty function ends it. `take` must not throw, and any thread that logs may call it. Call after `start`.
void also_to(std::function<void(std::string_view line)> take);
bool enabled(Level level);
void write(Level level, std::string_view line);
// A line for `also_to` only, whatever the log's level: for events that stderr or stdout report in a different form.
void note(Level level, std::string_view line);

// Unformatted text on stderr. Like all functions here, it ignores a stderr that cannot be written (a full disk).
void raw(std::string_view text);

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
