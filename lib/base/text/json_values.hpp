// Reads values of a JSON object from a file that may be damaged or is not required: whatever is missing or malformed is
// nothing, and no number is rounded. Used by the readers of run.lock, attempts.jsonl, metrics.jsonl, summary.json and
// tokenizer_config.json. Files that must be right are read by model/json_object and text/files/json_file.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace moemill {

// The object that the text holds; nothing if it is not JSON, or not an object.
template <class Json = nlohmann::json>
std::optional<Json> parse_json_object(std::string_view text) {
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_object() ? std::optional(std::move(value)) : std::nullopt;
}

// T is bool, an integer, double or std::string. Nothing when the value is missing, is of another kind or does not fit
// T.
template <class T, class Json>
std::optional<T> json_value(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return std::nullopt;
  if constexpr (std::is_same_v<T, bool>) {
    if (found->is_boolean()) return found->template get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    const bool is_unsigned = found->is_number_unsigned();
    if (is_unsigned && std::in_range<T>(found->template get<std::uint64_t>())) return found->template get<T>();
    if (!is_unsigned && found->is_number_integer() && std::in_range<T>(found->template get<std::int64_t>()))
      return found->template get<T>();
  } else if constexpr (std::is_same_v<T, double>) {
    if (found->is_number()) return found->template get<double>();
  } else {
    static_assert(std::is_same_v<T, std::string>);
    if (found->is_string()) return found->template get<std::string>();
  }
  return std::nullopt;
}

template <class T, class Json>
T json_value_or(const Json& object, const char* name, T otherwise) {
  return json_value<T>(object, name).value_or(std::move(otherwise));
}

}  // namespace moemill
