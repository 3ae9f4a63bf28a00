// The characters of a property in Unicode 16, the version of the tokenizers library, from built-in tables, because
// PCRE2 may have an older or newer version. Called by the translation of patterns, and by Regex to see where that
// matters.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moemill::text {

struct CodePoints {
  char32_t first, last;
};

inline constexpr std::string_view unicode_version = "16.0.0";
std::string pcre_unicode_version();  // the version in the linked PCRE2

// A set of code points, stored as ascending, disjoint ranges.
class CodePointSet {
 public:
  CodePointSet() = default;
  explicit CodePointSet(std::vector<CodePoints> ranges);  // ranges in any order

  bool empty() const { return ranges_.empty(); }
  const std::vector<CodePoints>& ranges() const { return ranges_; }
  bool contains(char32_t c) const;
  bool any_in(std::string_view utf8) const;  // whether the text, valid UTF-8, contains any of them

  CodePointSet minus(const CodePointSet& other) const;
  CodePointSet with(const CodePointSet& other) const;

 private:
  std::vector<CodePoints> ranges_;
  std::vector<bool> blocks_;  // [code point / 256]: whether the set has any code point of that block
};

// The set of a property by its name in \p{Name}, in lower case ("lu", "l&", "alphabetic", "sc:han"); null if unknown.
const CodePointSet* unicode_set(std::string_view name);
// The same set in the linked PCRE2; empty if PCRE2 does not know the name.
CodePointSet pcre_set(std::string_view name);

}  // namespace moemill::text
