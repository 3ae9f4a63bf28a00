#include "model/json_object.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.hpp"
#include "base/text/json_fault.hpp"
#include "base/text/lfs_pointer.hpp"
#include "system/files/mapped_file.hpp"

namespace moemill::model {

namespace {

bool nests_deeper_than(int levels, const nlohmann::json& value) {
  if (!value.is_structured()) return false;
  if (levels == 0) return true;
  return std::any_of(value.begin(), value.end(), [&](const auto& v) { return nests_deeper_than(levels - 1, v); });
}

// Text for error messages. A hostile file may nest arrays millions deep, and dump() recurses, so only the kind of such
// a value is shown.
std::string shown(const nlohmann::json& value) {
  if (nests_deeper_than(3, value)) return value.is_array() ? "a deeply nested array" : "a deeply nested object";
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// The value if it is an integer that fits 64 bits signed.
std::optional<std::int64_t> as_integer(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    auto u = value.get<std::uint64_t>();
    if (u > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
    return static_cast<std::int64_t>(u);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  return std::nullopt;
}

}  // namespace

JsonObject::JsonObject(std::string file, std::string prefix, nlohmann::json value)
    : file_(std::move(file)), prefix_(std::move(prefix)), value_(std::move(value)) {}

JsonObject JsonObject::read(const std::string& path, std::uint64_t max_bytes) {
  MappedFile file(path);
  if (file.size() > max_bytes) user_error("{}: {} bytes; at most {} are accepted", path, file.size(), max_bytes);
  auto bytes = file.bytes(0, file.size());
  const char* text = reinterpret_cast<const char*>(bytes.data());
  refuse_lfs_pointer(path, {text, bytes.size()});
  try {
    nlohmann::json value = nlohmann::json::parse(text, text + bytes.size());
    if (!value.is_object()) user_error("{}: must hold a JSON object, but holds {}", path, shown(value));
    return JsonObject(path, "", std::move(value));
  } catch (const nlohmann::json::exception& e) {
    user_error("{}: is not valid JSON: {}", path, json_fault(e.what()));
  }
}

void JsonObject::refuse(std::string_view key, std::string_view accepted) const {
  auto found = value_.find(std::string(key));
  if (found == value_.end()) user_error("{}: key \"{}{}\" is missing; it must be {}", file_, prefix_, key, accepted);
  user_error("{}: \"{}{}\" is {}, but must be {}", file_, prefix_, key, shown(*found), accepted);
}

bool JsonObject::has(std::string_view key) const {
  auto found = value_.find(std::string(key));
  return found != value_.end() && !found->is_null();
}

const nlohmann::json& JsonObject::at(std::string_view key, std::string_view accepted) const {
  auto found = value_.find(std::string(key));
  if (found == value_.end()) refuse(key, accepted);
  return *found;
}

std::uint32_t JsonObject::integer(std::string_view key, std::uint32_t min, std::uint32_t max) const {
  std::string accepted = fmt::format("an integer from {} to {}", min, max);
  auto value = as_integer(at(key, accepted));
  if (!value || *value < min || *value > max) refuse(key, accepted);
  return static_cast<std::uint32_t>(*value);
}

std::uint32_t JsonObject::integer_or(std::string_view key, std::uint32_t otherwise, std::uint32_t min,
                                     std::uint32_t max) const {
  return has(key) ? integer(key, min, max) : otherwise;
}

double JsonObject::number(std::string_view key, double min, double max) const {
  std::string accepted = fmt::format("a number from {} to {}", min, max);
  const auto& value = at(key, accepted);
  if (!value.is_number()) refuse(key, accepted);
  double x = value.get<double>();
  if (!(x >= min && x <= max)) refuse(key, accepted);
  return x;
}

double JsonObject::number_or(std::string_view key, double otherwise, double min, double max) const {
  return has(key) ? number(key, min, max) : otherwise;
}

bool JsonObject::flag_or(std::string_view key, bool otherwise) const {
  const auto found = value_.find(std::string(key));
  if (found == value_.end()) return otherwise;
  const auto& value = *found;
  if (value.is_null()) return false;  // as in Python: an absent key means the default, null means false
  if (!value.is_boolean()) refuse(key, "true or false");
  return value.get<bool>();
}

std::string JsonObject::text(std::string_view key) const {
  const auto& value = at(key, "a string");
  if (!value.is_string()) refuse(key, "a string");
  return value.get<std::string>();
}

std::string JsonObject::text_or(std::string_view key, std::string_view otherwise) const {
  return has(key) ? text(key) : std::string(otherwise);
}

JsonObject JsonObject::object(std::string_view key) const {
  const auto& value = at(key, "an object");
  if (!value.is_object()) refuse(key, "an object");
  return JsonObject(file_, fmt::format("{}{}.", prefix_, key), value);
}

std::vector<TokenId> JsonObject::token_ids(std::string_view key) const {
  if (!has(key)) return {};
  constexpr const char* accepted = "a token id (0 to 2147483647) or a list of them";
  const auto& value = at(key, accepted);
  std::vector<TokenId> ids;
  auto take = [&](const nlohmann::json& one) {
    auto id = as_integer(one);
    if (!id || *id < 0 || *id > INT32_MAX) refuse(key, accepted);
    ids.push_back(static_cast<TokenId>(*id));
  };
  if (value.is_array()) {
    for (const auto& one : value) take(one);
  } else {
    take(value);
  }
  return ids;
}

}  // namespace moemill::model
