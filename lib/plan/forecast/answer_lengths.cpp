#include "plan/forecast/answer_lengths.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/numbers/random.hpp"
#include "base/readable.hpp"
#include "base/text/path_text.hpp"
#include "config/config_field_kinds.hpp"
#include "plan/answer/lengths.hpp"

namespace moemill::mill {

AnswerLengths AnswerLengths::of_mean(double mean) {
  constexpr int quantiles = 1024;
  AnswerLengths lengths;
  for (int q = 0; q < quantiles; ++q)
    lengths.steps_.emplace_back(estimate::log_normal_length(mean, estimate::assumed_spread, 1 - (q + 0.5) / quantiles),
                                (q + 1.0) / quantiles);
  return lengths;
}

AnswerLengths AnswerLengths::of_word(const std::string& word, double most, const char* option) {
  if (const auto mean = number_in<double>(word)) {
    if (!(*mean >= 1 && *mean <= most)) user_error("{} {}: must be from 1 to {}", option, *mean, most);
    return of_mean(*mean);
  }
  check_path(option, word);
  return read(read_text_file(word), word);
}

AnswerLengths AnswerLengths::read(std::string_view text, const std::string& file) {
  AnswerLengths lengths;
  double share = 0;
  for (const auto& [length, count] : estimate::read_histogram(text, file)) {
    lengths.steps_.emplace_back(length, count);
    lengths.answers_ += count;
  }
  std::sort(lengths.steps_.begin(), lengths.steps_.end());
  for (auto& step : lengths.steps_) step.second = share += step.second / lengths.answers_;
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
