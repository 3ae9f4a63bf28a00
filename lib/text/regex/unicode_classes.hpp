// Which characters a property has in Unicode 16, the version of the tokenizers library, from tables of our own: PCRE2
// may have an older or a newer one. Called by the translation of patterns, and by Regex to see where that matters.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moemill::text {

struct CodePoints {
  char32_t first, last;
};

inline constexpr std::string_view unicode_version = "16.0.0";
std::string pcre_unicode_version();  // of the PCRE2 at hand

// Ascending and apart from each other.
class CodePointSet {
 public:
  CodePointSet() = default;
  explicit CodePointSet(std::vector<CodePoints> ranges);  // in any order

  bool empty() const { return ranges_.empty(); }
  const std::vector<CodePoints>& ranges() const { return ranges_; }
  bool contains(char32_t c) const;
  bool any_in(std::string_view utf8) const;  // whether a valid text has any of them

  CodePointSet minus(const CodePointSet& other) const;
  CodePointSet with(const CodePointSet& other) const;

 private:
  std::vector<CodePoints> ranges_;
  std::vector<bool> blocks_;  // [code point / 256]: whether any lies there
};

// A property by its name in \p{Name}, in lower case ("lu", "l&", "alphabetic", "sc:han"). Null: not in the tables.
const CodePointSet* unicode_set(std::string_view name);
// The same by the PCRE2 at hand; empty where it does not know the name.
CodePointSet pcre_set(std::string_view name);

}  // namespace moemill::text
