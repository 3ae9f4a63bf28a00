// First stage of encoding: normalises the text between added tokens by the steps of tokenizer.json's "normalizer".
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "text/files/json_file.hpp"
#include "text/regex/regex.hpp"

namespace moemill::text {

enum class UnicodeForm { Nfc, Nfd, Nfkc, Nfkd };

class Normalizer {
 public:
  explicit Normalizer(const std::optional<Place>& place);  // nullopt: the text is not changed

  bool empty() const { return steps_.empty(); }
  std::string apply(std::string text, RegexScratch& scratch) const;  // takes and returns valid UTF-8

 private:
  struct Lowercase {};
  struct Prepend {
    std::string text;
  };
  struct Replace {
    Regex pattern;
    std::string content;
  };
  enum class Ends { Left, Right, Both, None };
  struct Strip {
    Ends ends;
  };
  using Step = std::variant<UnicodeForm, Lowercase, Prepend, Replace, Strip>;

  void read(const Place& place, int depth);
  static std::string strip(const std::string& text, Ends ends);

  std::vector<Step> steps_;
};

std::string unicode_normal_form(std::string_view text, UnicodeForm form);
std::string lower_case(std::string_view text);

}  // namespace moemill::text
