// Translates the regular expressions of tokenizer.json, which are in Oniguruma's Ruby-like syntax, to PCRE2's. Called
// by Regex only.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "text/regex/unicode_classes.hpp"

namespace moemill::text {

// The reason why a pattern cannot be used. The caller adds the pattern's place in the file.
class RegexError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct PcrePattern {
  std::string text;
  // The same expression with its classes spelt out as in Unicode 16, for texts with a character of `differing`. Empty
  // if PCRE2 has the same version of Unicode.
  std::string exact;
  // The characters whose classes in this pattern differ between Unicode 16 and PCRE2's version.
  CodePointSet differing;
};

// The PCRE2 pattern (to be compiled with UTF, UCP and MULTILINE) that matches the same texts. The syntaxes differ in
// \s \w \h \v \b, POSIX and long property names, scripts, (?m), a lone (?i), and intervals followed by a sign.
// RegexError names constructs without a counterpart. Three differences under (?i) remain: folds of one character into
// several (ß), folds of letters in the pattern that are newer than PCRE2's Unicode, and properties of one case.
PcrePattern pcre_pattern(std::string_view onig);

}  // namespace moemill::text
