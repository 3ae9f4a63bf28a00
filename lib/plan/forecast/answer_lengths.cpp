#include "plan/forecast/answer_lengths.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>

#include "base/error.hpp"
#include "base/numbers/random.hpp"

namespace moemill::mill {
namespace {

// The standard deviation of a length's logarithm. Assumed: answers of one kind of work differ less than those of chats.
constexpr double spread = 0.7;
constexpr int quantiles = 1024;
constexpr double most = 1e9;  // of a length and of a count

double normal_share(double z) { return std::erfc(-z / std::sqrt(2.0)) / 2; }  // of values below z

// The inverse of normal_share, by halving: shares of a thousandth are all that is asked for.
double normal_quantile(double share) {
  double low = -8, high = 8;
  for (int i = 0; i < 50; ++i) (normal_share((low + high) / 2) < share ? low : high) = (low + high) / 2;
  return (low + high) / 2;
}

}  // namespace

AnswerLengths AnswerLengths::of_mean(double mean) {
  AnswerLengths lengths;
  for (int q = 0; q < quantiles; ++q) {
    const double share = (q + 0.5) / quantiles;
    const double length = mean * std::exp(spread * normal_quantile(share) - spread * spread / 2);
    lengths.steps_.emplace_back(length, (q + 1.0) / quantiles);
  }
  return lengths;
}

AnswerLengths AnswerLengths::read(std::string_view text, const std::string& file) {
  AnswerLengths lengths;
  std::istringstream lines{std::string(text)};
  std::size_t number = 0;
  double all = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::replace(line.begin(), line.end(), ',', ' ');
    std::istringstream words(line);
    std::string first, more;
    if (!(words >> first) || first.starts_with('#')) continue;
    std::istringstream numbers(line);
    double length = 0, count = 1;
    const bool has_length = static_cast<bool>(numbers >> length);
    if (has_length && !(numbers >> count)) count = 1, numbers.clear();
    if (!has_length || (numbers >> more) || !(length >= 0 && length <= most && count >= 0 && count <= most))
      user_error("{}:{}: is no length, nor a length and a number of answers", file, number);
    if (count > 0) lengths.steps_.emplace_back(length, count), all += count;
  }
  if (all == 0) user_error("{}: holds no lengths; write one per line, or a length and a count", file);
  std::sort(lengths.steps_.begin(), lengths.steps_.end());
  double share = 0;
  for (auto& step : lengths.steps_) step.second = share += step.second / all;
  return lengths;
}

std::uint32_t AnswerLengths::length(std::uint64_t sample, std::uint32_t max_tokens) const {
  if (steps_.empty()) return max_tokens;
  const double share = philox(sample, 0)[0] * 0x1p-32;
  const auto found = std::upper_bound(steps_.begin(), steps_.end() - 1, share,
                                      [](double wanted, const auto& step) { return wanted < step.second; });
  return static_cast<std::uint32_t>(std::min(found->first + 0.5, static_cast<double>(max_tokens)));
}

}  // namespace moemill::mill
