// The kinds of keys in run.yaml: numbers in a range, optional numbers, words, texts, flags. Used by config_fields.cpp
// only.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mill/config_fields.hpp"

namespace moemill::mill {

using Read = std::function<bool(const YAML::Node&, RunConfig&)>;
using Write = std::function<YAML::Node(const RunConfig&)>;

// Number parsing takes the whole scalar or nothing: "12x" and "1.5" are no integers.
template <class T>
std::optional<T> number(const YAML::Node& node) {
  if (!node.IsScalar()) return std::nullopt;
  const std::string& text = node.Scalar();
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  T value{};
  auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || begin == end) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) return std::nullopt;
  }
  return value;
}

inline bool is_word(const YAML::Node& node, const char* word) { return node.IsScalar() && node.Scalar() == word; }

inline YAML::Node scalar(std::string text) { return YAML::Node(std::move(text)); }
template <class T>
YAML::Node number_node(T value) {
  return scalar(fmt::format("{}", value));
}
// A null that is written as the word, so that it reads well.
inline YAML::Node null_node() { return YAML::Load("null"); }

template <class T>
struct Range {
  T low = std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::max();
  bool holds(T x) const { return x >= low && x <= high; }
};

// `at` finds the value inside a RunConfig.
template <class T, class At>
Field plain(const char* key, const char* accepts, Effect effect, Range<T> range, At at) {
  Read read = [=](const YAML::Node& node, RunConfig& c) {
    auto x = number<T>(node);
    if (!x || !range.holds(*x)) return false;
    at(c) = *x;
    return true;
  };
  return {key, accepts, effect, read, [=](const RunConfig& c) { return number_node(at(const_cast<RunConfig&>(c))); }};
}

// `empty` is the word for an absent value: "auto" or "null".
template <class T, class At>
Field optional(const char* key, const char* accepts, Effect effect, const char* empty, Range<T> range, At at) {
  bool null = std::string_view(empty) == "null";
  Read read = [=](const YAML::Node& node, RunConfig& c) {
    if (null ? node.IsNull() : is_word(node, empty)) return at(c).reset(), true;
    auto x = number<T>(node);
    if (!x || !range.holds(*x)) return false;
    at(c) = *x;
    return true;
  };
  Write write = [=](const RunConfig& c) {
    const auto& value = at(const_cast<RunConfig&>(c));
    return value ? number_node(*value) : null ? null_node() : scalar(empty);
  };
  return {key, accepts, effect, read, write};
}

template <class At>
Field text(const char* key, const char* accepts, Effect effect, At at) {
  Read read = [=](const YAML::Node& node, RunConfig& c) {
    // A carriage return at the end would be lost where config.yaml is read again.
    if (!node.IsScalar() || node.Scalar().empty() || node.Scalar().ends_with('\r')) return false;
    at(c) = node.Scalar();
    return true;
  };
  return {key, accepts, effect, read, [=](const RunConfig& c) { return scalar(at(const_cast<RunConfig&>(c))); }};
}

template <class At>
Field one_of(const char* key, const char* accepts, Effect effect, std::vector<std::string> words, At at) {
  Read read = [=](const YAML::Node& node, RunConfig& c) {
    if (!node.IsScalar() || std::find(words.begin(), words.end(), node.Scalar()) == words.end()) return false;
    at(c) = node.Scalar();
    return true;
  };
  return {key, accepts, effect, read, [=](const RunConfig& c) { return scalar(at(const_cast<RunConfig&>(c))); }};
}

template <class At>
Field flag(const char* key, Effect effect, At at) {
  Read read = [=](const YAML::Node& node, RunConfig& c) {
    bool value = false;
    if (!node.IsScalar() || !YAML::convert<bool>::decode(node, value)) return false;
    at(c) = value;
    return true;
  };
  Write write = [=](const RunConfig& c) { return scalar(at(const_cast<RunConfig&>(c)) ? "true" : "false"); };
  return {key, "true or false", effect, read, write};
}

}  // namespace moemill::mill
