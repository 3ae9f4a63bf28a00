#include "dataset/prompts/options.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>

#include "base/error.hpp"
#include "base/sampling_limits.hpp"

namespace moemill::dataset {
namespace {

// One value of a row, checked against its range.
template <class Value, class Allowed>
void require(const ColumnPlace& place, std::uint64_t row, Value value, const char* rule, Allowed allowed) {
  if (!allowed(value)) user_error("{}: row {} is {}, must be {}", place.text(), row, value, rule);
}

// The row's JSON list. UserError unless `fits` is true for each value; `example` completes the message.
template <class Value, class Fits>
std::vector<Value> parse_list(const ColumnPlace& place, std::uint64_t row, const std::string& text, Fits fits,
                              const char* example) {
  const nlohmann::json list = nlohmann::json::parse(text, nullptr, false);
  if (!list.is_array() || !std::all_of(list.begin(), list.end(), fits))
    user_error("{}: row {} must be a JSON list of {}, or \"\" for the run's default", place.text(), row, example);
  return list.get<std::vector<Value>>();
}

bool is_stop_string(const nlohmann::json& value) {
  return value.is_string() && !value.get_ref<const std::string&>().empty();
}

bool is_token_id(const nlohmann::json& value) {
  return value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max();
}

// A setting's type, without the optional around it.
template <class T>
struct Plain {
  using type = T;
};
template <class T>
struct Plain<std::optional<T>> {
  using type = T;
};

// Merges a column into one field of each row, after `rule` has held for it.
template <class Values, class Allowed, class Field>
void merge(const NumberColumn& column, const Values& values, std::uint64_t first, std::vector<SamplingParams>& rows,
           const char* rule, Allowed allowed, Field field) {
  for (std::size_t i = 0; i < rows.size(); i++) {
    if (!values[i]) continue;
    require(column.place(), first + i, *values[i], rule, allowed);
    auto& target = rows[i].*field;
    using Target = typename Plain<std::remove_reference_t<decltype(target)>>::type;
    auto value = static_cast<Target>(*values[i]);
    // As in run.yaml: a number too near to 0 for its type counts as the smallest one that is not 0.
    if constexpr (std::is_same_v<Target, float>)
      if (*values[i] != 0 && std::abs(value) < std::numeric_limits<float>::min())
        value = std::copysign(std::numeric_limits<float>::min(), value);
    target = value;
  }
}

}  // namespace

void OptionColumns::merge_into(std::vector<SamplingParams>& rows, std::uint64_t first) const {
  using Params = SamplingParams;
  auto wholes = [&](const auto& column, const char* rule, auto allowed, auto field) {
    if (column) merge(*column, column->read_wholes(first, rows.size()), first, rows, rule, allowed, field);
  };
  auto reals = [&](const auto& column, const char* rule, auto allowed, auto field) {
    if (column) merge(*column, column->read_reals(first, rows.size()), first, rows, rule, allowed, field);
  };
  auto penalty = [&](const auto& column, auto field) {
    auto allowed = [](double x) { return std::abs(x) <= limits::other_penalties; };
    if (column)
      merge(*column, column->read_signed_reals(first, rows.size()), first, rows, "from -100 to 100", allowed, field);
  };
  auto up_to = [](std::uint64_t most) { return [most](auto x) { return x <= most; }; };
  wholes(
      n, "from 1 to 65536", [](auto x) { return x >= 1 && x <= limits::samples; }, &Params::n);
  reals(
      temperature, "from 0 to 100", [](double x) { return x >= 0 && x <= limits::temperature; }, &Params::temperature);
  reals(
      top_p, "above 0 and at most 1", [](double x) { return x > 0 && x <= 1; }, &Params::top_p);
  reals(
      min_p, "from 0 to 1", [](double x) { return x >= 0 && x <= 1; }, &Params::min_p);
  reals(
      repetition_penalty, "above 0 and at most 100",
      [](double x) { return x >= std::numeric_limits<float>::min() && x <= limits::repetition_penalty; },
      &Params::repetition_penalty);
  penalty(presence_penalty, &Params::presence_penalty);
  penalty(frequency_penalty, &Params::frequency_penalty);
  wholes(top_k, "at most 2^30", up_to(limits::top_k), &Params::top_k);
  wholes(max_tokens, "at most 2^30", up_to(limits::max_tokens), &Params::max_tokens);
  wholes(min_tokens, "at most 2^30", up_to(limits::max_tokens), &Params::min_tokens);
  wholes(logprobs, "at most 1000", up_to(limits::logprobs), &Params::logprobs);
  wholes(
      seed, "", [](auto) { return true; }, &Params::seed);
  merge_lists(rows, first);
  check_min_tokens(rows, first);
}

void OptionColumns::merge_lists(std::vector<SamplingParams>& rows, std::uint64_t first) const {
  if (ignore_eos) {
    const auto values = ignore_eos->read(first, rows.size());
    for (std::size_t i = 0; i < rows.size(); i++) rows[i].ignore_eos = values[i].value_or(rows[i].ignore_eos);
  }
  auto lists = [&](const std::optional<TextColumn>& column, auto parse) {
    if (!column) return;
    const std::vector<std::string> texts = column->read(first, rows.size());
    for (std::size_t i = 0; i < rows.size(); i++)
      if (!texts[i].empty()) parse(rows[i], column->place(), first + i, texts[i]);
  };
  lists(stop, [](SamplingParams& row, const ColumnPlace& place, std::uint64_t index, const std::string& text) {
    row.stop =
        parse_list<std::string>(place, index, text, is_stop_string, "non-empty strings such as [\"\\n\", \"###\"]");
  });
  lists(
      stop_token_ids, [](SamplingParams& row, const ColumnPlace& place, std::uint64_t index, const std::string& text) {
        row.stop_token_ids = parse_list<std::int32_t>(place, index, text, is_token_id, "token ids such as [2, 32007]");
      });
}

std::vector<std::string> OptionColumns::stop_strings(std::uint64_t rows, std::size_t most) const {
  constexpr std::uint64_t block_rows = 4096;
  std::set<std::string> lists, strings;  // most rows have the same few
  for (std::uint64_t first = 0; stop && first < rows && lists.size() < most; first += block_rows)
    for (std::string& text : stop->read(first, std::min(block_rows, rows - first))) lists.insert(std::move(text));
  for (const std::string& text : lists) {
    const nlohmann::json list = nlohmann::json::parse(text, nullptr, false);
    if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_stop_string)) continue;
    for (const auto& value : list) strings.insert(value.get<std::string>());
  }
  return {strings.begin(), std::next(strings.begin(), static_cast<std::ptrdiff_t>(std::min(most, strings.size())))};
}

void OptionColumns::check_stop_tokens(const std::vector<SamplingParams>& rows, std::uint64_t first,
                                      std::uint32_t vocabulary) const {
  if (!stop_token_ids) return;
  for (std::size_t i = 0; i < rows.size(); i++)
    for (const std::int32_t id : rows[i].stop_token_ids)
      if (static_cast<std::uint32_t>(id) >= vocabulary)
        user_error("{}: row {} has {}, which can never occur: the model's ids are 0 to {}; correct it, or leave it out",
                   stop_token_ids->place().text(), first + i, id, vocabulary - 1);
}

// The run's min_tokens may exceed a row's max_tokens; generate/prepare.cpp then uses the smaller one.
void OptionColumns::check_min_tokens(const std::vector<SamplingParams>& rows, std::uint64_t first) const {
  if (!min_tokens) return;
  const auto own = min_tokens->read_wholes(first, rows.size());
  for (std::size_t i = 0; i < rows.size(); i++)
    if (own[i] && rows[i].min_tokens > rows[i].max_tokens)
      user_error("{}: row {} is {}, more than the row's max_tokens, {}: lower one or raise the other",
                 min_tokens->place().text(), first + i, rows[i].min_tokens, rows[i].max_tokens);
}

}  // namespace moemill::dataset
