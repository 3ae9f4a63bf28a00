// Lengths of prompts or answers, of which the step model needs three numbers. Used by the command `plan`.
#pragma once

#include <string>
#include <string_view>

namespace moemill::estimate {

struct Lengths {
  double mean = 0;
  // Mean over tokens instead of sequences, sum of squares / sum: long sequences have more tokens, and their tokens see
  // more positions. Equal lengths: the mean.
  double of_token = 0;
  double longest = 0;
};

inline Lengths equal_lengths(double tokens) { return {tokens, tokens, tokens}; }

// One length per line, or a histogram: a length and how many sequences have it. Empty lines and lines that begin with
// `#` do not count. UserError with file and line for anything else, and if no sequence is left.
Lengths read_lengths(std::string_view text, const std::string& file);

}  // namespace moemill::estimate
