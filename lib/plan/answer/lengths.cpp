#include "plan/answer/lengths.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "config/config_field_kinds.hpp"
#include "plan/estimate/number_text.hpp"

namespace moemill::estimate {
namespace {

constexpr double most = 1e12;  // of a length and of a count

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  constexpr std::string_view blanks = " \t\r,";
  for (std::size_t at = line.find_first_not_of(blanks); at != line.npos; at = line.find_first_not_of(blanks, at)) {
    const std::size_t end = std::min(line.find_first_of(blanks, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

std::optional<double> count_of(std::string_view word) {
  const auto number = mill::number_in<double>(word);
  return number && *number >= 0 && *number <= most ? number : std::nullopt;
}

// The z that a standard normal number exceeds with this probability: Abramowitz and Stegun, 26.2.23, to 0.00045.
double normal_quantile_above(double probability) {
  if (probability > 0.5) return -normal_quantile_above(1 - probability);
  const double t = std::sqrt(-2 * std::log(probability));
  return t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
}

}  // namespace

void LengthSums::add(double length, double count) {
  sequences_ += count, tokens_ += count * length, squares_ += count * length * length;
  longest_ = std::max(longest_, length);
}

Lengths LengthSums::lengths() const {
  expect(tokens_ > 0, "there is a length above 0");
  return {tokens_ / sequences_, squares_ / tokens_, longest_, Lengths::Kind::Measured, 0};
}

// The mean is exp(mu + spread^2 / 2).
double log_normal_length(double mean, double spread, double share_above) {
  return mean * std::exp(normal_quantile_above(share_above) * spread - spread * spread / 2);
}

Lengths log_normal_lengths(double mean, double spread, double sequences, double most) {
  if (spread == 0) return equal_lengths(mean);
  const double longest = log_normal_length(mean, spread, std::min(0.5, 1 / sequences));
  Lengths lengths{mean, mean * std::exp(spread * spread), std::clamp(longest, mean, std::max(mean, most)),
                  Lengths::Kind::LogNormal, spread};
  lengths.of_token = std::min(lengths.of_token, lengths.longest);
  return lengths;
}

const char* name_of(Lengths::Kind kind) {
  if (kind == Lengths::Kind::Equal) return "equal";
  return kind == Lengths::Kind::LogNormal ? "log-normal" : "measured";
}

std::string lengths_text(const Lengths& lengths) {
  if (lengths.kind == Lengths::Kind::Equal) return whole(lengths.mean) + " tokens each";
  const std::string from = lengths.kind == Lengths::Kind::LogNormal
                               ? fmt::format("log-normal with a spread of {:.3g}{}", lengths.spread,
                                             lengths.spread == assumed_spread ? " (assumed)" : "")
                               : "as they are";
  return fmt::format("{} tokens on average, {}, at most {}", whole(lengths.mean), from, whole(lengths.longest));
}

std::vector<LengthCount> read_histogram(std::string_view text, const std::string& file) {
  std::vector<LengthCount> histogram;
  std::size_t line_number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::vector<std::string_view> words = words_of(text.substr(at, end - at));
    at = end + 1, ++line_number;
    if (words.empty() || words[0].starts_with('#')) continue;
    const auto length = count_of(words[0]), count = words.size() == 1 ? std::optional(1.0) : count_of(words[1]);
    if (!length || !count || words.size() > 2)
      user_error("{}:{}: is no length, nor a length and how many sequences have it (LENGTH COUNT, or LENGTH,COUNT)",
                 file, line_number);
    if (*count > 0) histogram.push_back({*length, *count});
  }
  if (std::none_of(histogram.begin(), histogram.end(), [](const LengthCount& one) { return one.length > 0; }))
    user_error("{}: holds no lengths above 0; write one per line, or LENGTH COUNT", file);
  return histogram;
}

Lengths read_lengths(std::string_view text, const std::string& file) {
  LengthSums sums;
  for (const auto& [length, count] : read_histogram(text, file)) sums.add(length, count);
  return sums.lengths();
}

}  // namespace moemill::estimate
