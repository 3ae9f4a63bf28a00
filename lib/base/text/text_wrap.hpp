// Breaks help texts into lines that fit a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace moemill {

constexpr std::size_t help_width = 100;

// Breaks `text` at spaces so that no line exceeds help_width. The first line begins at column `at`, later lines at
// `indent`. Line breaks in the text are kept; the result does not end with one.
std::string wrapped(std::string_view text, std::size_t at = 0, std::size_t indent = 0);

}  // namespace moemill
