// The model's vocabulary: spelling <-> id, both ways without allocating. Read-only after construction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/files/json_file.hpp"

namespace moemill::text {

class Vocabulary {
 public:
  Vocabulary() = default;
  // UserError when a spelling or an id is there twice.
  Vocabulary(const StringTable& spellings, const std::vector<TokenId>& ids, const std::string& file_name);

  std::optional<TokenId> find(std::string_view spelling) const;
  bool contains(TokenId id) const {
    return id >= 0 && static_cast<std::size_t>(id) < spans_.size() && spans_[id].there;
  }
  std::string_view spelling(TokenId id) const {  // of an id that is contained
    return std::string_view(bytes_).substr(spans_[id].begin, spans_[id].size);
  }
  std::size_t size() const { return size_; }
  std::size_t highest_id_plus_one() const { return spans_.size(); }

 private:
  struct Span {
    std::size_t begin = 0;
    std::uint32_t size = 0;
    bool there = false;
  };
  std::size_t slot(std::string_view spelling) const;  // where it is, or the free slot where it would be

  std::string bytes_;
  std::vector<Span> spans_;     // by id
  std::vector<TokenId> slots_;  // open addressing, a power of two, at most half full; -1: free
  std::size_t size_ = 0;
};

}  // namespace moemill::text
