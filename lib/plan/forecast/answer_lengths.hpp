// The lengths that answers are expected to have, one for each sample. Used by the dry run of `moemill plan` and
// validate.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moemill::mill {

class AnswerLengths {
 public:
  // All reach max_tokens.
  AnswerLengths() = default;
  // Log-normal lengths of this mean; the spread is assumed.
  static AnswerLengths of_mean(double mean);
  // The word of an option: a mean from 1 to `most`, or a file as read() takes it. UserError.
  static AnswerLengths of_word(const std::string& word, double most, const char* option);
  // One length per line, or a length and how many answers have it. UserError with file and line.
  static AnswerLengths read(std::string_view text, const std::string& file);

  // Of sample number `sample` of all: the same number gives the same length.
  std::uint32_t length(std::uint64_t sample, std::uint32_t max_tokens) const;
  double answers() const { return answers_; }  // that a file has

 private:
  double answers_ = 0;
  std::vector<std::pair<double, double>> steps_;  // ascending lengths, and the share of answers up to each
};

}  // namespace moemill::mill
