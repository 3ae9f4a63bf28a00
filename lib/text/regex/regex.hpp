// A compiled regular expression of tokenizer.json. Uses PCRE2 with its JIT and behaves like Oniguruma in the tokenizers
// library, with the same version of Unicode. Const use from many threads, each with its own RegexScratch.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex/onig_pattern.hpp"

// PCRE2's handles are opaque; its header stays in the source file.
struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace moemill::text {

struct PcreFree {
  void operator()(pcre2_real_code_8* p) const;
  void operator()(pcre2_real_match_data_8* p) const;
  void operator()(pcre2_real_match_context_8* p) const;
  void operator()(pcre2_real_jit_stack_8* p) const;
};

struct Match {
  std::size_t begin, end;  // offsets in bytes
};

// Work space of a match: its result, its limits, and a large stack once a text needs one.
class RegexScratch {
 public:
  RegexScratch();

 private:
  friend class Regex;
  void grow_stack();
  std::unique_ptr<pcre2_real_match_data_8, PcreFree> data_;
  std::unique_ptr<pcre2_real_match_context_8, PcreFree> context_;
  std::unique_ptr<pcre2_real_jit_stack_8, PcreFree> stack_;
};

class Regex {
 public:
  explicit Regex(std::string_view onig_pattern);  // RegexError if it is unsupported or malformed
  static Regex literal(std::string_view text);    // matches exactly this text

  // Visits all matches from left to right, without overlaps, as the library finds them: an empty match directly after
  // another match is skipped. `subject` is valid UTF-8. TextError if the pattern reaches its limits on this text.
  template <class Visit>
  void for_each(std::string_view subject, RegexScratch& scratch, Visit&& visit) const {
    std::size_t from = 0, last_end = static_cast<std::size_t>(-1);
    Match match;
    const Code& code = exact_.code && differing_.any_in(subject) ? exact_ : code_;
    while (from <= subject.size() && find(code, subject, from, scratch, match)) {
      if (match.begin == match.end && match.end == last_end) {
        from = after_character(subject, from);
        continue;
      }
      from = last_end = match.end;
      visit(match);
    }
  }

 private:
  struct Code {
    std::unique_ptr<pcre2_real_code_8, PcreFree> code;
    bool to_machine_code = false;
  };
  Regex() = default;
  static Code compile(std::string_view pattern, unsigned options);
  static bool find(const Code& code, std::string_view subject, std::size_t from, RegexScratch& scratch, Match& match);
  static std::size_t after_character(std::string_view subject, std::size_t at);

  Code code_;               // uses PCRE2's own version of Unicode and is faster
  Code exact_;              // used for texts with characters of differing_; often empty
  CodePointSet differing_;  // characters that PCRE2's version of Unicode classifies differently
};

}  // namespace moemill::text
