#include "plan/answer/lengths.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "config/config_field_kinds.hpp"

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

}  // namespace

Lengths read_lengths(std::string_view text, const std::string& file) {
  double sequences = 0, tokens = 0, squares = 0, longest = 0;
  std::size_t line_number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::vector<std::string_view> words = words_of(text.substr(at, end - at));
    at = end + 1, ++line_number;
    if (words.empty() || words[0].starts_with('#')) continue;
    const auto length = count_of(words[0]), count = words.size() == 1 ? std::optional(1.0) : count_of(words[1]);
    if (!length || !count || words.size() > 2)
      user_error("{}:{}: is no length, nor a length and a number of sequences", file, line_number);
    if (*count == 0) continue;
    sequences += *count, tokens += *count * *length, squares += *count * *length * *length;
    longest = std::max(longest, *length);
  }
  if (tokens == 0) user_error("{}: holds no lengths above 0; write one per line, or a length and a count", file);
  return {tokens / sequences, squares / tokens, longest};
}

}  // namespace moemill::estimate
