// tokenizer.json in memory: a JSON tree for the settings, and flat tables for its two large parts, the vocabulary and
// the merges. A Place in the tree knows its path, so errors name it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.hpp"

namespace moemill::text {

// Ids from this limit on are refused, because tables are indexed by id. No known vocabulary comes close.
inline constexpr std::int64_t id_limit = std::int64_t{1} << 24;

// Many short strings in one block of memory.
class StringTable {
 public:
  void add(std::string_view text) {
    bytes_ += text;
    ends_.push_back(bytes_.size());
  }
  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::size_t i) const {
    std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string bytes_;
  std::vector<std::size_t> ends_;
};

struct TokenizerFile {
  nlohmann::json tree;                     // without model.vocab (if it is an object) and model.merges (if an array)
  StringTable vocabulary;                  // spellings
  std::vector<TokenId> ids;                // ids[i] is the id of vocabulary[i], below id_limit
  StringTable left, right;                 // merge i joins left[i] and right[i]
  std::vector<std::uint32_t> merge_ranks;  // rank of merge i, lower ranks first; if empty, the rank is i
  bool has_vocabulary = false, has_merges = false;
};

TokenizerFile read_tokenizer_file(std::string_view json, const std::string& file_name);

// One value of the tree and its path. Asking for a missing value or a wrong type is a UserError.
class Place {
 public:
  Place(const nlohmann::json& value, const std::string& file, std::string path)
      : value_(&value), file_(&file), path_(std::move(path)) {}

  Place at(const char* key) const;
  std::optional<Place> find(const char* key) const;  // nullopt if the value is missing or null
  std::vector<Place> elements() const;               // the elements of an array
  std::vector<std::pair<std::string, Place>> members() const;

  std::string string() const;
  bool boolean() const;
  bool boolean_or(const char* key, bool otherwise) const;
  std::string string_or(const char* key, const std::string& otherwise) const;
  std::int64_t integer(std::int64_t least, std::int64_t most) const;
  char32_t character() const;  // the character of a string that has only one

  bool is_zero() const { return value_->is_number() && value_->get<double>() == 0; }
  const std::string& file() const { return *file_; }
  [[noreturn]] void refuse(const std::string& reason) const;

 private:
  const nlohmann::json* value_;
  const std::string* file_;
  std::string path_;
};

}  // namespace moemill::text
