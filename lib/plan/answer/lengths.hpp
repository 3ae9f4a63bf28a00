// Lengths of prompts or answers, of which the step model needs three numbers. Used by `plan` and forecasts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moemill::estimate {

struct Lengths {
  // LogNormal: only a mean is known, and the others follow from a spread that is assumed. Measured: from a file.
  enum class Kind { Equal, LogNormal, Measured };

  double mean = 0;
  // Mean over tokens instead of sequences, sum of squares / sum: long sequences have more tokens, and their tokens see
  // more positions. Equal lengths: the mean.
  double of_token = 0;
  double longest = 0;
  Kind kind = Kind::Measured;
  double spread = 0;  // LogNormal: the standard deviation of the length's logarithm
};

inline Lengths equal_lengths(double tokens) { return {tokens, tokens, tokens, Lengths::Kind::Equal, 0}; }

// Assumed, because no trace of bulk work is published. Chat is near 1.0 (the median answer is about 0.6 of the mean);
// prompts of one kind, as jobs have, give answers that differ less.
constexpr double assumed_spread = 0.7;

// The length that this share of log-normal lengths of a mean exceeds; the share is above 0 and below 1.
double log_normal_length(double mean, double spread, double share_above);

// Log-normal lengths of this mean. The longest is the one that `sequences` draws exceed once on average, and at most
// `most`. A spread of 0 gives equal lengths.
Lengths log_normal_lengths(double mean, double spread, double sequences, double most);

// Such as "600 tokens each", or "600 tokens on average, log-normal with a spread of 0.7 (assumed), at most 17,877".
std::string lengths_text(const Lengths& lengths);
const char* name_of(Lengths::Kind kind);

struct LengthCount {
  double length = 0, count = 0;
};
// One length per line, or a histogram: a length and how many sequences have it, with a blank or a comma between. Empty
// lines and lines that begin with
// `#` do not count. UserError with file and line for anything else, and if no length above 0 is left.
std::vector<LengthCount> read_histogram(std::string_view text, const std::string& file);
// What the step model needs of them.
Lengths read_lengths(std::string_view text, const std::string& file);

// Lengths that come one after the other, with their sums.
class LengthSums {
 public:
  void add(double length, double count = 1);
  double sequences() const { return sequences_; }
  double tokens() const { return tokens_; }
  Lengths lengths() const;  // there is a length above 0

 private:
  double sequences_ = 0, tokens_ = 0, squares_ = 0, longest_ = 0;
};

}  // namespace moemill::estimate
