// Lines of help that fit a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace moemill {

constexpr std::size_t help_width = 100;

// `text` broken at spaces so that no line goes beyond help_width; its first line begins at column `at`, the others at
// `indent`. Line breaks in the text stay. No line break at the end.
std::string wrapped(std::string_view text, std::size_t at = 0, std::size_t indent = 0);

}  // namespace moemill
