// tokenizer.json's regular expressions are written for Oniguruma's Ruby-like syntax; this writes the same expression
// for PCRE2. Called by Regex only.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "text/regex/unicode_classes.hpp"

namespace moemill::text {

// A pattern that cannot be used, and why. Whoever knows the pattern's place in the file names it.
class RegexError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct PcrePattern {
  std::string text;
  // The same with classes spelt out as they are in Unicode 16, for texts that have one of the characters which this
  // pattern tells from the others and PCRE2's own Unicode takes for something else. None where both have one Unicode.
  std::string exact;
  CodePointSet differing;
};

// The PCRE2 pattern (to be compiled with UTF, UCP and MULTILINE) that matches what Oniguruma's would. What differs:
// \s \w \h \v \b, POSIX and long property names, scripts, (?m), a lone (?i), intervals with a sign behind.
// RegexError names what has no counterpart. Not carried over: folds of one character into several ((?i)ß), and folds of
// letters younger than the Unicode of the PCRE2 that is linked ((?i) and such a letter in the pattern itself),
// and a property of one case under (?i).
PcrePattern pcre_pattern(std::string_view onig);

}  // namespace moemill::text
