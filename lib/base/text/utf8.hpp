// UTF-8, as the Unicode standard defines it: strict checks (overlong forms and surrogates are not UTF-8), code points,
// and the steps of a decoder that replaces bad bytes by U+FFFD. Used wherever text comes in, by every stage of the
// tokenizer, and where outputs are verified. No state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moemill {

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";  // U+FFFD

// The longest valid sequence at `at`: a whole character (Complete), the beginning of a character that the text ends in
// (Open), or bytes that cannot belong to a character.
struct Utf8Step {
  enum Kind { Complete, Open, Bad } kind;
  std::size_t bytes;    // >= 1
  char32_t code_point;  // if complete
};
Utf8Step utf8_step(std::string_view bytes, std::size_t at);

// The code point at `at` in valid UTF-8; moves `at` to the next one.
char32_t next_code_point(std::string_view valid, std::size_t& at);
std::size_t utf8_length(char lead);  // bytes of the character that begins with this byte, in valid UTF-8
void append_utf8(std::string& text, char32_t code_point);

std::optional<std::size_t> first_bad_utf8(std::string_view bytes);  // its offset; nothing if all bytes are valid

bool is_white_space(char32_t c);  // Unicode White_Space

}  // namespace moemill
