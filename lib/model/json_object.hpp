// A JSON object of a model folder that knows its file: every accessor checks type and range, and its UserError names
// file, key, the value found and what is accepted. Used by the config parsers and the safetensors index.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"

namespace moemill::model {

class JsonObject {
 public:
  // UserError if the file is missing, larger than `max_bytes`, not JSON, or not an object.
  static JsonObject read(const std::string& path, std::uint64_t max_bytes);
  JsonObject(std::string file, std::string prefix, nlohmann::json value);

  const std::string& file() const { return file_; }
  const nlohmann::json& json() const { return value_; }
  bool has(std::string_view key) const;  // true if the key exists and is not null

  std::uint32_t integer(std::string_view key, std::uint32_t min, std::uint32_t max) const;
  std::uint32_t integer_or(std::string_view key, std::uint32_t otherwise, std::uint32_t min, std::uint32_t max) const;
  double number(std::string_view key, double min, double max) const;
  double number_or(std::string_view key, double otherwise, double min, double max) const;
  bool flag_or(std::string_view key, bool otherwise) const;
  std::string text(std::string_view key) const;
  std::string text_or(std::string_view key, std::string_view otherwise) const;
  JsonObject object(std::string_view key) const;
  std::vector<TokenId> token_ids(std::string_view key) const;  // one id or a list of them; empty when absent

  [[noreturn]] void refuse(std::string_view key, std::string_view accepted) const;

 private:
  const nlohmann::json& at(std::string_view key, std::string_view accepted) const;
  std::string file_, prefix_;
  nlohmann::json value_;
};

}  // namespace moemill::model
