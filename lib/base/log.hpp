// The program's log: lines on stderr with time, level and rank, and once more where `also_to` says. Never called per
// token.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string_view>
#include <utility>

namespace moemill::log {

enum class Level { Trace, Debug, Info, Warning, Error, Off };

Level parse_level(std::string_view name);  // trace|debug|info|warning|error|off; throws UserError otherwise
// Sets up the process's log once: lines carry `rank R` when `world_size` > 1.
void start(Level level, int rank, int world_size);
// A second place for the lines, each as "2026-01-31T23:59:59Z info: text" (UTC) without an end of line, until the next
// call; `take` must not throw, and may be called from any thread that logs; an empty one ends it. After `start`.
void also_to(std::function<void(std::string_view line)> take);
bool enabled(Level level);
void write(Level level, std::string_view line);
// A line for the second place alone, whatever the level of the log: what people at stderr or stdout get in another
// form.
void note(Level level, std::string_view line);

// Text as it is, on stderr. A stderr that cannot be written (a full disk) is no reason to fail, here and above.
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
