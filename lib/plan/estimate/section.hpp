// A mapping of a YAML file that knows its file and its place there: every accessor checks kind and range, and its
// UserError names file, line, key, the value found and what is accepted. Used by the readers of machines, efficiencies
// and published points. A key that a reader does not name is refused with the nearest one that it does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/yaml.hpp"

namespace moemill::estimate {

using Words = std::vector<std::string>;

// The whole text as a mapping; UserError if it is anything else.
yaml::Node read_mapping(std::string_view text, const std::string& file);

struct Range {
  double low, high;
};

class Section {
 public:
  // `path` is the section's own key, "" for the whole file. Keys that the section lacks are those of `outer`, which
  // must outlive it. UserError for a node that is no mapping, for a key that is not among `known`, and for a key that
  // is given twice.
  Section(const yaml::Node& node, std::string file, std::string path, const Words& known,
          const Section* outer = nullptr);

  bool has(std::string_view key) const { return find(key) != nullptr; }
  const yaml::Node* find(std::string_view key) const;      // null if the key is absent or its value is null
  const yaml::Node* find_own(std::string_view key) const;  // without `outer`

  double number(std::string_view key, Range range) const;
  std::optional<double> find_number(std::string_view key, Range range) const;
  std::uint32_t count(std::string_view key, std::uint32_t low, std::uint32_t high) const;
  std::uint32_t count_or(std::string_view key, std::uint32_t otherwise, std::uint32_t low, std::uint32_t high) const;
  std::string text(std::string_view key) const;
  std::string text_or(std::string_view key, std::string_view otherwise) const;
  std::string word(std::string_view key, const Words& accepted) const;
  std::string date(std::string_view key) const;  // 2025, 2025-05 or 2025-05-31
  Words texts(std::string_view key) const;       // a list of texts; empty if the key is absent
  Section section(std::string_view key, const Words& known) const;
  const std::vector<yaml::Node>& entries() const { return node_->items; }  // key, value, key, value

  std::string name_of(std::string_view key) const;   // the key with the sections that hold it
  std::string place_of(std::string_view key) const;  // "file:line: key"
  const std::string& file() const { return file_; }
  [[noreturn]] void refuse(std::string_view key, std::string_view accepted) const;

 private:
  const yaml::Node& need(std::string_view key, std::string_view accepted) const;

  const yaml::Node* node_;
  const Section* outer_;
  std::string file_, path_;
};

}  // namespace moemill::estimate
