// The kinds of keys in run.yaml: numbers in a range, optional numbers, words, texts, flags, lists. Used by
// config_fields.cpp, and by config.cpp for numbers.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/config_fields.hpp"

namespace moemill::mill {

using Read = std::function<bool(const yaml::Node&, RunConfig&)>;
using Write = std::function<yaml::Node(const RunConfig&)>;

// Parses the whole text or nothing: "12x" and "1.5" are not integers.
template <class T>
std::optional<T> number_in(std::string_view text) {
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  T value{};
  auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  if constexpr (std::is_floating_point_v<T>) {
    // A nonzero number that would underflow becomes the smallest normal number, so that "above 0" holds as written.
    const bool is_small = error == std::errc::result_out_of_range
                              ? std::abs(std::strtod(std::string(begin, end).c_str(), nullptr)) < 1
                              : error == std::errc() && std::fpclassify(value) == FP_SUBNORMAL;
    if (is_small) value = std::copysign(std::numeric_limits<T>::min(), *begin == '-' ? T{-1} : T{1}), error = {};
  }
  if (error != std::errc() || end != text.data() + text.size() || begin == end) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(value)) return std::nullopt;
  }
  return value;
}

// 010 is eight for some readers of YAML and ten for people, so it is refused.
inline bool is_octal(std::string_view text) {
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  return text.size() > 1 && text[0] == '0' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

template <class T>
std::optional<T> number(const yaml::Node& node) {
  return node.is_scalar() && !is_octal(node.scalar) ? number_in<T>(node.scalar) : std::nullopt;
}

inline bool is_word(const yaml::Node& node, std::string_view word) { return node.is_scalar() && node.scalar == word; }

template <class T>
yaml::Node number_node(T value) {
  return yaml::plain(fmt::format("{}", value));
}

// true and false in all forms of YAML 1.1.
inline std::optional<bool> truth(const yaml::Node& node) {
  constexpr std::string_view yes[] = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"};
  constexpr std::string_view no[] = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"};
  for (std::string_view word : yes)
    if (is_word(node, word)) return true;
  for (std::string_view word : no)
    if (is_word(node, word)) return false;
  return std::nullopt;
}

template <class T>
struct Range {
  T low = std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::max();
  bool holds(T x) const { return x >= low && x <= high; }
};

// A second way to write a value; the word "null" stands for YAML's null.
template <class T>
struct Synonym {
  std::string word;  // "": no synonym
  T value{};
  bool is(const yaml::Node& node) const {
    return !word.empty() && (word == "null" ? node.is_null() : is_word(node, word));
  }
};

// Finds a value inside a RunConfig: the member of a section.
template <class Section, class T>
struct Member {
  Section RunConfig::*section;
  T Section::*value;
  auto& operator()(auto& config) const { return config.*section.*value; }
};
template <class Section, class T>
Member(Section RunConfig::*, T Section::*) -> Member<Section, T>;

// `at` finds the value inside a RunConfig, const or not.
template <class T, class At>
Field plain(const char* key, const char* accepts, Effect effect, Range<T> range, At at, Synonym<T> also = {}) {
  Read read = [=](const yaml::Node& node, RunConfig& c) {
    if (also.is(node)) return at(c) = also.value, true;
    auto x = number<T>(node);
    if (!x || !range.holds(*x)) return false;
    at(c) = *x;
    return true;
  };
  return {key, accepts, effect, read, [=](const RunConfig& c) { return number_node(at(c)); }};
}

// `empty` is the word that resets the value: "auto" or "null".
template <class T, class At>
Field optional(const char* key, const char* accepts, Effect effect, const char* empty, Range<T> range, At at) {
  bool null = std::string_view(empty) == "null";
  Read read = [=](const yaml::Node& node, RunConfig& c) {
    if (node.is_null() || (!null && is_word(node, empty))) return at(c).reset(), true;
    auto x = number<T>(node);
    if (!x || !range.holds(*x)) return false;
    at(c) = *x;
    return true;
  };
  Write write = [=](const RunConfig& c) {
    const auto& value = at(c);
    return value ? number_node(*value) : null ? yaml::Node() : yaml::plain(empty);
  };
  return {key, accepts, effect, read, write};
}

template <class At>
Field text(const char* key, const char* accepts, Effect effect, At at) {
  Read read = [=](const yaml::Node& node, RunConfig& c) {
    // A carriage return at the end comes from a Windows file and is not part of a name.
    if (!node.is_scalar() || node.scalar.empty() || node.scalar.ends_with('\r')) return false;
    at(c) = node.scalar;
    return true;
  };
  return {key, accepts, effect, read, [=](const RunConfig& c) { return yaml::text(at(c)); }};
}

// `null` empties it.
template <class At>
Field optional_text(const char* key, const char* accepts, Effect effect, At at) {
  Read read = [=](const yaml::Node& node, RunConfig& c) {
    if (node.is_null()) return at(c).reset(), true;
    if (!node.is_scalar() || node.scalar.empty() || node.scalar.ends_with('\r')) return false;
    at(c) = node.scalar;
    return true;
  };
  Write write = [=](const RunConfig& c) { return at(c) ? yaml::text(*at(c)) : yaml::Node(); };
  return {key, accepts, effect, read, write};
}

template <class At>
Field one_of(const char* key, const char* accepts, Effect effect, std::vector<std::string> words, At at,
             Synonym<std::string> also = {}) {
  Read read = [=](const yaml::Node& node, RunConfig& c) {
    if (also.is(node)) return at(c) = also.value, true;
    if (!node.is_scalar() || std::find(words.begin(), words.end(), node.scalar) == words.end()) return false;
    at(c) = node.scalar;
    return true;
  };
  return {key, accepts, effect, read, [=](const RunConfig& c) { return yaml::text(at(c)); }};
}

// `auto` or one of `all`, each as word_of says it.
template <class T, class At>
Field optional_word(const char* key, const char* accepts, Effect effect, std::span<const T> all, At at) {
  Read read = [=](const yaml::Node& node, RunConfig& c) {
    at(c).reset();
    for (const T value : all)
      if (is_word(node, word_of(value))) at(c) = value;
    return at(c) || is_word(node, "auto");
  };
  return {key, accepts, effect, read,
          [=](const RunConfig& c) { return yaml::plain(at(c) ? std::string(word_of(*at(c))) : "auto"); }};
}

template <class At>
Field flag(const char* key, Effect effect, At at) {
  Read read = [=](const yaml::Node& node, RunConfig& c) {
    const auto value = truth(node);
    if (value) at(c) = *value;
    return value.has_value();
  };
  Write write = [=](const RunConfig& c) { return yaml::plain(at(c) ? "true" : "false"); };
  return {key, "true or false", effect, read, write};
}

template <class At>
Field optional_flag(const char* key, const char* accepts, Effect effect, At at) {
  Read read = [=](const yaml::Node& node, RunConfig& c) {
    const auto value = truth(node);
    if (!value && !is_word(node, "auto")) return false;
    at(c) = value;
    return true;
  };
  Write write = [=](const RunConfig& c) {
    const auto& value = at(c);
    return yaml::plain(!value ? "auto" : *value ? "true" : "false");
  };
  return {key, accepts, effect, read, write};
}

// Reads one value or a list of values.
template <class T, class Convert>
bool read_list(const yaml::Node& node, std::vector<T>& out, Convert convert) {
  std::vector<T> values;
  auto take = [&](const yaml::Node& item) {
    auto x = convert(item);
    if (x) values.push_back(*x);
    return x.has_value();
  };
  if (node.is_null()) return out.clear(), true;
  if (node.is_list()) {
    if (!std::all_of(node.items.begin(), node.items.end(), take)) return false;
  } else if (!take(node)) {
    return false;
  }
  out = std::move(values);
  return true;
}

template <class T>
yaml::Node flow_list(const std::vector<T>& values) {
  yaml::Node node{yaml::Node::Kind::List, {}, {}, {}, 0};
  for (const T& value : values) {
    if constexpr (std::is_same_v<T, std::string>) {
      node.items.push_back(yaml::text(value));
    } else {
      node.items.push_back(number_node(value));
    }
  }
  return node;
}

}  // namespace moemill::mill
