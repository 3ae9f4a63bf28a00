#include "text/regex/pattern.hpp"

#include <fmt/format.h>

namespace moemill::text {

Regex read_pattern(const Place& place) {
  try {
    if (auto regex = place.find("Regex")) return Regex(regex->string());
    if (auto text = place.find("String")) return Regex::literal(text->string());
  } catch (const RegexError& e) {
    place.refuse(fmt::format("regular expression: {}", e.what()));
  }
  place.refuse("must be {\"Regex\": ...} or {\"String\": ...}");
}

std::string replace_all(std::string_view text, const Regex& pattern, std::string_view content, RegexScratch& scratch) {
  if (text.empty()) return {};
  std::string out;
  std::size_t copied = 0;
  pattern.for_each(text, scratch, [&](Match m) {
    out += text.substr(copied, m.begin - copied);
    out += content;
    copied = m.end;
  });
  out += text.substr(copied);
  return out;
}

}  // namespace moemill::text
