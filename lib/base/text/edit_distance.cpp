#include "base/text/edit_distance.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace moemill {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Row i holds the distances between the first i letters of `a` and every prefix of `b`.
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

std::optional<std::size_t> typing_errors(std::string_view written, std::string_view known) {
  const std::size_t errors = edit_distance(written, known);
  return errors <= known.size() / 3 ? std::optional(errors) : std::nullopt;
}

namespace {

constexpr std::size_t least_beginning = 3;  // letters; shorter prefixes match too many names

bool is_separator(char c) { return c == '_' || c == '-'; }

std::string shortened_name(std::string_view written, const std::vector<std::string>& known) {
  if (written.size() < least_beginning) return "";
  const auto begins = [&](const std::string& name) { return name.starts_with(written); };
  const auto first = std::find_if(known.begin(), known.end(), begins);
  return first != known.end() && std::find_if(first + 1, known.end(), begins) == known.end() ? *first : "";
}

std::string name_with_more(std::string_view written, const std::vector<std::string>& known) {
  std::string longest;
  for (const std::string& name : known)
    if (name.size() > std::max(longest.size(), least_beginning) && written.size() > name.size() &&
        written.starts_with(name) && is_separator(written[name.size()]))
      longest = name;
  return longest;
}

}  // namespace

std::string likely_name(std::string_view written, const std::vector<std::string>& known) {
  const std::string* best = nullptr;
  std::size_t fewest = 0;
  for (const std::string& name : known)
    if (const auto errors = typing_errors(written, name); errors && (!best || *errors < fewest))
      best = &name, fewest = *errors;
  if (best) return *best;
  const std::string longer = shortened_name(written, known);
  return longer.empty() ? name_with_more(written, known) : longer;
}

}  // namespace moemill
