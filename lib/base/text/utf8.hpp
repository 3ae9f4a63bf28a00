// UTF-8, as the Unicode standard defines it: strict checks (overlong forms and surrogates are not UTF-8), code points,
// and what decoding that replaces bad bytes by U+FFFD needs. Used wherever text comes in, by every stage of the
// tokenizer, and where outputs are verified; no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moemill {

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";  // U+FFFD

// The longest valid beginning at `at`: a whole character (complete), or as many bytes of one as are there and could
// still become a character (open: the text ends inside it), or a byte or more that cannot.
struct Utf8Step {
  enum Kind { Complete, Open, Bad } kind;
  std::size_t bytes;    // >= 1
  char32_t code_point;  // of a complete one
};
Utf8Step utf8_step(std::string_view bytes, std::size_t at);

// Code point at `at` of valid UTF-8; moves `at` behind it.
char32_t next_code_point(std::string_view valid, std::size_t& at);
std::size_t utf8_length(char lead);  // bytes of the character that this byte begins, in valid UTF-8
void append_utf8(std::string& text, char32_t code_point);

std::optional<std::size_t> first_bad_utf8(std::string_view bytes);  // its offset; none when all is valid

bool is_white_space(char32_t c);  // Unicode White_Space

}  // namespace moemill
