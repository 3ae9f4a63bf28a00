// tokenizer.json's regular expressions are written for Oniguruma's Ruby-like syntax; this writes the same expression
// for PCRE2. Called by Regex only.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace moemill::text {

// A pattern that cannot be used, and why. Whoever knows the pattern's place in the file names it.
class RegexError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The PCRE2 pattern (to be compiled with UTF, UCP and MULTILINE) that matches what Oniguruma's would. What differs:
// \s \w \h \v \b, POSIX and long property names, scripts, (?m), a lone (?i), intervals with a sign behind.
// RegexError names what has no counterpart. Not carried over: folds of one character into several ((?i)ß), and
// characters younger than the Unicode version of the PCRE2 that is linked (14 in 10.42, 16 in the library).
std::string pcre_pattern(std::string_view onig);

}  // namespace moemill::text
