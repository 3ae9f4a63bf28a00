#include "text/regex/onig_sets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace moemill::text {
namespace {

constexpr std::string_view posix_word_set = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

using Name = std::pair<std::string_view, std::string_view>;

// Contents of a class by names that [[:name:]] and \p{name} share.
constexpr std::array<Name, 11> posix_sets{{{"alpha", R"(\p{Alphabetic})"},
                                           {"alnum", R"(\p{Alphabetic}\p{Nd})"},
                                           {"digit", R"(\p{Nd})"},
                                           {"lower", R"(\p{Lowercase})"},
                                           {"upper", R"(\p{Uppercase})"},
                                           {"space", space_set},
                                           {"blank", R"(\p{Zs}\x{9})"},
                                           {"cntrl", R"(\p{Cc})"},
                                           {"xdigit", hex_set},
                                           {"word", word_set},
                                           {"ascii", R"(\x{0}-\x{7f})"}}};

constexpr std::array<Name, 39> categories{{
    {"letter", "L"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"casedletter", "L&"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"combiningmark", "M"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"punct", "P"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"privateuse", "Co"},
    {"unassigned", "Cn"},
}};

// Properties that PCRE2 and Oniguruma define identically and that are not scripts.
constexpr std::array<std::string_view, 14> binary_properties{"any",
                                                             "alphabetic",
                                                             "lowercase",
                                                             "uppercase",
                                                             "whitespace",
                                                             "emoji",
                                                             "ideographic",
                                                             "hexdigit",
                                                             "math",
                                                             "dash",
                                                             "emojimodifier",
                                                             "extendedpictographic",
                                                             "emojicomponent",
                                                             "emojipresentation"};

template <class Table>
std::string_view look_up(const Table& table, std::string_view name) {
  for (const Name& entry : table)
    if (entry.first == name) return entry.second;
  return {};
}

bool is_short_category(std::string_view name) {
  constexpr std::string_view all =
      " c cc cf cn co cs l lu ll lt lm lo m mn mc me n nd nl no p pc pd ps pe pi pf po "
      "s sm sc sk so z zs zl zp ";
  return all.find(fmt::format(" {} ", name)) != all.npos;
}

}  // namespace

std::optional<std::string> property_set(std::string_view raw) {
  std::string name;
  for (char c : raw) {
    if (c == ' ' || c == '_' || c == '-') continue;
    if (!std::isalnum(static_cast<unsigned char>(c))) return std::nullopt;
    name.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  if (std::string_view category = look_up(categories, name); !category.empty())
    return fmt::format("\\p{{{}}}", category);
  if (is_short_category(name) ||
      std::find(binary_properties.begin(), binary_properties.end(), name) != binary_properties.end())
    return fmt::format("\\p{{{}}}", name);
  if (std::string_view contents = look_up(posix_sets, name); !contents.empty()) return std::string(contents);
  return fmt::format("\\p{{sc:{}}}", name);  // a script; PCRE2 refuses an unknown one
}

std::optional<std::string> posix_set(std::string_view name) {
  if (name == "punct") return R"(\p{P}\p{S})";
  if (name == "word") return std::string(posix_word_set);
  std::string_view contents = look_up(posix_sets, name);
  return contents.empty() ? std::nullopt : std::optional<std::string>(contents);
}

}  // namespace moemill::text
