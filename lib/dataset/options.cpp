#include "dataset/options.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/error.hpp"
#include "base/sampling_limits.hpp"

namespace moemill::dataset {
namespace {

// One value of a row, held to its range.
template <class Value, class Allowed>
void hold(const ColumnPlace& place, std::uint64_t row, Value value, const char* rule, Allowed allowed) {
  if (!allowed(value)) user_error("{}: row {} is {}, must be {}", place.text(), row, value, rule);
}

std::vector<std::string> parse_stop(const ColumnPlace& place, std::uint64_t row, const std::string& text) {
  nlohmann::json list = nlohmann::json::parse(text, nullptr, false);
  bool fits = list.is_array() && std::all_of(list.begin(), list.end(), [](const nlohmann::json& stop) {
                return stop.is_string() && !stop.get_ref<const std::string&>().empty();
              });
  if (!fits) {
    user_error(
        "{}: row {} must be a JSON list of non-empty strings such as [\"\\n\", \"###\"], or \"\" for the run's default",
        place.text(), row);
  }
  return list.get<std::vector<std::string>>();
}

// Merges a column into one field of each row, after `rule` has held for it.
template <class Values, class Allowed, class Field>
void merge(const NumberColumn& column, const Values& values, std::uint64_t first, std::vector<SamplingParams>& rows,
           const char* rule, Allowed allowed, Field field) {
  for (std::size_t i = 0; i < rows.size(); i++) {
    if (!values[i]) continue;
    hold(column.place(), first + i, *values[i], rule, allowed);
    auto& target = rows[i].*field;
    target = static_cast<std::remove_reference_t<decltype(target)>>(*values[i]);
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
  wholes(
      n, "from 1 to 65536", [](auto x) { return x >= 1 && x <= limits::samples; }, &Params::n);
  reals(
      temperature, "from 0 to 100", [](double x) { return x >= 0 && x <= limits::temperature; }, &Params::temperature);
  reals(
      top_p, "above 0 and at most 1", [](double x) { return x > 0 && x <= 1; }, &Params::top_p);
  reals(
      min_p, "from 0 to 1", [](double x) { return x >= 0 && x <= 1; }, &Params::min_p);
  wholes(
      top_k, "at most 2^30", [](auto x) { return x <= limits::top_k; }, &Params::top_k);
  wholes(
      max_tokens, "at most 2^30", [](auto x) { return x <= limits::max_tokens; }, &Params::max_tokens);
  wholes(
      seed, "", [](auto) { return true; }, &Params::seed);
  if (!stop) return;
  std::vector<std::string> lists = stop->read(first, rows.size());
  for (std::size_t i = 0; i < rows.size(); i++) {
    if (!lists[i].empty()) rows[i].stop = parse_stop(stop->place(), first + i, lists[i]);
  }
}

}  // namespace moemill::dataset
