// The model's vocabulary. Looks up ids by spelling and spellings by id without allocating; constant once constructed.
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
  // UserError if a spelling or an id appears twice.
  Vocabulary(const StringTable& spellings, const std::vector<TokenId>& ids, const std::string& file_name);

  std::optional<TokenId> find(std::string_view spelling) const;
  bool contains(TokenId id) const {
    return id >= 0 && static_cast<std::size_t>(id) < spans_.size() && spans_[id].there;
  }
  std::string_view spelling(TokenId id) const {  // the id must be contained
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
  std::size_t slot(std::string_view spelling) const;  // the slot that holds it, or the free slot where it belongs

  std::string bytes_;
  std::vector<Span> spans_;     // indexed by id
  std::vector<TokenId> slots_;  // open addressing; the size is a power of two, at most half are used; -1: free
  std::size_t size_ = 0;
};

}  // namespace moemill::text
