// Which records of a journal count, where it has several of one prompt and sample: of rows and scores the first, of
// partial samples the longest, and none if the sample has a row. One rule for records, for what an index knows of them,
// and for plain numbers of prompts. Private to journal/.
#pragma once

#include <algorithm>
#include <concepts>
#include <utility>
#include <vector>

namespace moemill::dataset {

template <class Entry>
auto place_of(const Entry& entry) {
  if constexpr (std::integral<Entry>) {
    return entry;
  } else if constexpr (requires { entry.sample_index; }) {
    return std::pair(entry.prompt_index, entry.sample_index);
  } else {
    return entry.prompt_index;
  }
}

// Sorts by prompt and sample; of equal ones, the entry that was written first stays.
template <class Entry>
void keep_first(std::vector<Entry>& entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return place_of(a) < place_of(b); });
  auto same = [](const Entry& a, const Entry& b) { return place_of(a) == place_of(b); };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
}

// `tokens(partial)` is its length. `rows` have been through keep_first().
template <class Partial, class Row, class Tokens>
void keep_longest_unfinished(std::vector<Partial>& partials, const std::vector<Row>& rows, Tokens tokens) {
  std::stable_sort(partials.begin(), partials.end(),
                   [&](const Partial& a, const Partial& b) { return tokens(a) > tokens(b); });
  keep_first(partials);
  std::erase_if(partials, [&](const Partial& partial) {
    const auto place = place_of(partial);
    const auto row = std::lower_bound(rows.begin(), rows.end(), place,
                                      [](const Row& r, const auto& wanted) { return place_of(r) < wanted; });
    return row != rows.end() && place_of(*row) == place;
  });
}

}  // namespace moemill::dataset
