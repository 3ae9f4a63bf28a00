// The named sets of characters in Oniguruma's expressions (\s, \w, \p{Name}, [:name:]), written as the contents of a
// PCRE2 [class]. Called by onig_pattern.cpp only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace moemill::text {

// Unicode White_Space, spelt out because PCRE2's own \s also contains U+180E.
inline constexpr std::string_view space_set =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
// Oniguruma's \w uses a different table for Latin-1 than its [[:word:]]: it contains the superscripts and fractions.
inline constexpr std::string_view word_set = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
inline constexpr std::string_view hex_set = "0-9A-Fa-f";

// The set of \p{name}, where case, blanks, _ and - do not matter. nullopt if `name` cannot be a property.
std::optional<std::string> property_set(std::string_view name);
// The set of [:name:] inside a class. nullopt if there is no such name.
std::optional<std::string> posix_set(std::string_view name);

}  // namespace moemill::text
