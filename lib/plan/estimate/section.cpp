#include "plan/estimate/section.hpp"

#include <fmt/format.h>

#include <fmt/ranges.h>
#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/text/edit_distance.hpp"
#include "config/config_field_kinds.hpp"

namespace moemill::estimate {
namespace {

std::string shown(const yaml::Node& node) {
  if (node.is_null()) return "null";
  constexpr std::size_t most = 60;  // bytes of a message; a file of another kind can be one long word
  if (node.is_scalar()) {
    std::size_t end = std::min(node.scalar.size(), most);
    while (end < node.scalar.size() && (node.scalar[end] & 0xc0) == 0x80) --end;  // whole characters
    return "'" + node.scalar.substr(0, end) + (end < node.scalar.size() ? "...'" : "'");
  }
  return node.is_map() ? "a mapping" : "a list";
}

std::string place(const std::string& file, const yaml::Node& node) { return fmt::format("{}:{}", file, node.line); }

bool is_date(std::string_view text) {
  const std::string_view form = "0000-00-00";
  if (text.size() != 4 && text.size() != 7 && text.size() != 10) return false;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (form[i] == '-' ? text[i] != '-' : text[i] < '0' || text[i] > '9') return false;
  const auto is_from_1_to = [&](std::size_t at, std::string_view most) {
    return text.size() <= at || (text.substr(at, 2) >= "01" && text.substr(at, 2) <= most);
  };
  return is_from_1_to(5, "12") && is_from_1_to(8, "31");
}

}  // namespace

yaml::Node read_mapping(std::string_view text, const std::string& file) {
  yaml::Node root = yaml::read(text, file);
  if (root.is_null()) user_error("{}: is empty; it must be a mapping of keys to values", file);
  if (!root.is_map()) user_error("{}: holds {}; it must be a mapping of keys to values", file, shown(root));
  return root;
}

Section::Section(const yaml::Node& node, std::string file, std::string path, const Words& known, const Section* outer)
    : node_(&node), outer_(outer), file_(std::move(file)), path_(std::move(path)) {
  if (!node.is_map())
    user_error("{}: {}: {} is not accepted; accepted: a mapping", place(file_, node), path_, shown(node));
  std::set<std::string> seen;
  for (std::size_t i = 0; i < node.items.size(); i += 2) {
    const yaml::Node& key = node.items[i];
    if (!key.is_scalar()) user_error("{}: a key must be a word", place(file_, key));
    if (!seen.insert(key.scalar).second)
      user_error("{}: {}: given twice; keep one of them", place(file_, key), name_of(key.scalar));
    if (std::find(known.begin(), known.end(), key.scalar) != known.end()) continue;
    const std::string near = likely_name(key.scalar, known);
    user_error("{}: unknown key '{}'; {}", place(file_, key), name_of(key.scalar),
               near.empty() ? fmt::format("known here: {}", fmt::join(known, ", "))
                            : fmt::format("the nearest known key is '{}'", name_of(near)));
  }
}

const yaml::Node* Section::find(std::string_view key) const {
  const yaml::Node* own = find_own(key);
  return own || !outer_ ? own : outer_->find(key);
}

const yaml::Node* Section::find_own(std::string_view key) const {
  for (std::size_t i = 0; i < node_->items.size(); i += 2)
    if (node_->items[i].scalar == key) return node_->items[i + 1].is_null() ? nullptr : &node_->items[i + 1];
  return nullptr;
}

std::string Section::name_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

std::string Section::place_of(std::string_view key) const {
  const yaml::Node* value = find(key);
  return fmt::format("{}: {}", place(file_, value ? *value : *node_), name_of(key));
}

void Section::refuse(std::string_view key, std::string_view accepted) const {
  const yaml::Node* value = find(key);
  if (!value) user_error("{} is missing; accepted: {}", place_of(key), accepted);
  user_error("{}: {} is not accepted; accepted: {}", place_of(key), shown(*value), accepted);
}

const yaml::Node& Section::need(std::string_view key, std::string_view accepted) const {
  const yaml::Node* value = find(key);
  if (!value) refuse(key, accepted);
  return *value;
}

double Section::number(std::string_view key, Range range) const {
  const std::string accepted = fmt::format("a number from {} to {}", range.low, range.high);
  const auto value = mill::number<double>(need(key, accepted));
  if (!value || *value < range.low || *value > range.high) refuse(key, accepted);
  return *value;
}

std::optional<double> Section::find_number(std::string_view key, Range range) const {
  return has(key) ? std::optional(number(key, range)) : std::nullopt;
}

std::uint32_t Section::count(std::string_view key, std::uint32_t low, std::uint32_t high) const {
  const std::string accepted = fmt::format("a whole number from {} to {}", low, high);
  const auto value = mill::number<std::uint32_t>(need(key, accepted));
  if (!value || *value < low || *value > high) refuse(key, accepted);
  return *value;
}

std::uint32_t Section::count_or(std::string_view key, std::uint32_t otherwise, std::uint32_t low,
                                std::uint32_t high) const {
  return has(key) ? count(key, low, high) : otherwise;
}

std::string Section::text(std::string_view key) const {
  const yaml::Node& value = need(key, "a text");
  if (!value.is_scalar() || value.scalar.empty()) refuse(key, "a text");
  return value.scalar;
}

std::string Section::text_or(std::string_view key, std::string_view otherwise) const {
  return has(key) ? text(key) : std::string(otherwise);
}

std::string Section::word(std::string_view key, const Words& accepted) const {
  const yaml::Node* value = find(key);
  if (value && value->is_scalar() && std::find(accepted.begin(), accepted.end(), value->scalar) != accepted.end())
    return value->scalar;
  refuse(key, fmt::format("{}", fmt::join(accepted, ", ")));
}

std::string Section::date(std::string_view key) const {
  const yaml::Node* value = find(key);
  if (!value || !value->is_scalar() || !is_date(value->scalar)) refuse(key, "a date, as 2025-05-31, 2025-05 or 2025");
  return value->scalar;
}

Words Section::texts(std::string_view key) const {
  Words list;
  const yaml::Node* value = find(key);
  if (!value) return list;
  if (!value->is_list()) refuse(key, "a list of texts");
  for (const yaml::Node& item : value->items) {
    if (!item.is_scalar()) refuse(key, "a list of texts");
    list.push_back(item.scalar);
  }
  return list;
}

Section Section::section(std::string_view key, const Words& known) const {
  return Section(need(key, "a mapping"), file_, name_of(key), known);
}

}  // namespace moemill::estimate
