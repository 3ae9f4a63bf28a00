// Last stage of encoding: adds special tokens around the ids (for example a BOS), as tokenizer.json's "post_processor"
// does for a single text.
#pragma once

#include <optional>
#include <vector>

#include "text/files/json_file.hpp"

namespace moemill::text {

class PostProcessor {
 public:
  explicit PostProcessor(const std::optional<Place>& place);

  std::vector<TokenId> apply(std::vector<TokenId> ids) const;

 private:
  void read(const Place& place, int depth);
  void read_template(const Place& place);
  void read_pair(const Place& place);
  void wrap(const std::vector<TokenId>& before, const std::vector<TokenId>& after);

  std::vector<TokenId> before_, after_;
};

}  // namespace moemill::text
