// The sets of characters that Oniguruma's expressions name (\s, \w, \p{Name}, [:name:]), written as contents of a
// PCRE2 [class]. Called by the translation of patterns only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace moemill::text {

// Unicode White_Space is spelt out: PCRE2's own \s has U+180E too.
inline constexpr std::string_view space_set =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
// Oniguruma's \w takes its Latin-1 part from another table than its [[:word:]]: it has the superscripts and fractions.
inline constexpr std::string_view word_set = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
inline constexpr std::string_view hex_set = "0-9A-Fa-f";

// Of \p{name}: case, blanks, _ and - don't count. None where the name cannot be one.
std::optional<std::string> property_set(std::string_view name);
// Of [:name:] inside a class. None where there is no such name.
std::optional<std::string> posix_set(std::string_view name);

}  // namespace moemill::text
