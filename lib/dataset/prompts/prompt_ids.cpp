#include "dataset/prompts/prompt_ids.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"

namespace moemill::dataset {
namespace {

constexpr std::uint64_t id_block_rows = 4096;

// The id itself if it is an integer, else the hash of its text.
std::uint64_t key_of(const Prompt& prompt) {
  const auto* text = std::get_if<std::string>(&prompt.id);
  return text ? stable_hash64(*text) : static_cast<std::uint64_t>(std::get<std::int64_t>(prompt.id));
}

// Calls body(row, prompt) for every row.
void for_rows(std::uint64_t rows, const ReadIds& read, auto&& body) {
  for (std::uint64_t first = 0; first < rows; first += id_block_rows) {
    std::uint64_t row = first;
    for (const Prompt& prompt : read(first, std::min(id_block_rows, rows - first))) body(row++, prompt);
  }
}

// "" cannot identify a row, because in every column it means that the row has no value of its own.
void refuse_empty(std::uint64_t row, const Prompt& prompt, const std::string& place) {
  const auto* text = std::get_if<std::string>(&prompt.id);
  if (!text || !text->empty()) return;
  user_error(
      "{}: row {} is empty: each prompt needs an id of its own; without this column, a prompt's row number is its id",
      place, row);
}

// Keys that occur in more than one row, ascending; a file with unique ids has practically none.
std::vector<std::uint64_t> repeated_keys(std::vector<std::uint64_t> keys) {
  std::sort(keys.begin(), keys.end());
  std::vector<std::uint64_t> repeated;
  for (std::size_t i = 1; i < keys.size(); i++) {
    if (keys[i] == keys[i - 1] && (repeated.empty() || repeated.back() != keys[i])) repeated.push_back(keys[i]);
  }
  return repeated;
}

}  // namespace

void check_unique_ids(std::uint64_t rows, const std::string& place, const ReadIds& read) {
  std::vector<std::uint64_t> keys;
  keys.reserve(rows);
  for_rows(rows, read, [&](std::uint64_t row, const Prompt& prompt) {
    refuse_empty(row, prompt, place);
    keys.push_back(key_of(prompt));
  });
  const std::vector<std::uint64_t> repeated = repeated_keys(std::move(keys));
  if (repeated.empty()) return;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> candidates;  // (key, row) of each row with a repeated key
  for_rows(rows, read, [&](std::uint64_t row, const Prompt& prompt) {
    const std::uint64_t key = key_of(prompt);
    if (std::binary_search(repeated.begin(), repeated.end(), key)) candidates.emplace_back(key, row);
  });
  std::sort(candidates.begin(), candidates.end());
  const auto id_of = [&](std::uint64_t row) { return to_text(read(row, 1).at(0).id); };
  // Different ids can have the same key, so the ids themselves are compared. The pair of rows whose second row comes
  // first in the file is reported.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> duplicate;
  for (std::size_t i = 1; i < candidates.size(); i++) {
    const auto& [key, row] = candidates[i];
    const auto& [earlier_key, earlier_row] = candidates[i - 1];
    if (key != earlier_key || (duplicate && row >= duplicate->second)) continue;
    if (id_of(row) == id_of(earlier_row)) duplicate = {earlier_row, row};
  }
  if (!duplicate) return;
  user_error("{}: rows {} and {} have the same id '{}': ids must be unique", place, duplicate->first, duplicate->second,
             id_of(duplicate->second));
}

}  // namespace moemill::dataset
