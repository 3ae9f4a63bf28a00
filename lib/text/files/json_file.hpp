// tokenizer.json as read: a JSON tree for the settings and flat tables for the two parts that are large, the
// vocabulary and the merges. Places in the tree know their path, so that whatever is wrong is refused by name.
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

// Ids from here on are refused: tables are indexed by id, and no vocabulary is near.
inline constexpr std::int64_t id_limit = std::int64_t{1} << 24;

// Many short strings in one allocation.
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
  nlohmann::json tree;                     // without model.vocab (where it is an object) and model.merges (an array)
  StringTable vocabulary;                  // spellings
  std::vector<TokenId> ids;                // of vocabulary[i], below id_limit
  StringTable left, right;                 // merge i joins left[i] and right[i]
  std::vector<std::uint32_t> merge_ranks;  // of merge i, the lower first; none: i
  bool has_vocabulary = false, has_merges = false;
};

TokenizerFile read_tokenizer_file(std::string_view json, const std::string& file_name);

// One value of the tree and where it lies. Asking for what is not there, or of another type, is a UserError.
class Place {
 public:
  Place(const nlohmann::json& value, const std::string& file, std::string path)
      : value_(&value), file_(&file), path_(std::move(path)) {}

  Place at(const char* key) const;
  std::optional<Place> find(const char* key) const;  // none where it is missing or null
  std::vector<Place> elements() const;               // of an array
  std::vector<std::pair<std::string, Place>> members() const;

  std::string string() const;
  bool boolean() const;
  bool boolean_or(const char* key, bool otherwise) const;
  std::string string_or(const char* key, const std::string& otherwise) const;
  std::int64_t integer(std::int64_t least, std::int64_t most) const;
  char32_t character() const;  // a string of one character

  bool is_zero() const { return value_->is_number() && value_->get<double>() == 0; }
  const std::string& file() const { return *file_; }
  [[noreturn]] void refuse(const std::string& reason) const;

 private:
  const nlohmann::json* value_;
  const std::string* file_;
  std::string path_;
};

}  // namespace moemill::text
