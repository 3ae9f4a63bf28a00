// Added tokens ("<s>", "<|im_start|>") are cut out of a text before anything else looks at it. Built from
// tokenizer.json's "added_tokens"; const use from many threads.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/files/json_file.hpp"
#include "text/files/vocabulary.hpp"
#include "text/regex/regex.hpp"
#include "text/stages/normalizer.hpp"

namespace moemill::text {

struct AddedToken {
  std::string content;
  TokenId id;
  bool single_word, left_strip, right_strip, normalized, special;  // as in the file
  std::string decoded;      // what the library decodes: where normalized, the content as the normalizer leaves it
  bool decodes_as_special;  // and that is the content of a special token
};

// A stretch of text, or an added token found in it.
struct Segment {
  std::size_t begin, end;
  std::optional<TokenId> id;
};

// A set of texts to look for, leftmost and longest first.
class TokenFinder {
 public:
  void add(std::string text, const AddedToken* token);
  void finish();  // after the last add
  std::vector<Segment> cut(std::string_view text, const std::optional<Regex>& word, RegexScratch& scratch) const;

 private:
  struct Entry {
    std::string text;
    const AddedToken* token;
  };
  const Entry* longest_at(std::string_view text, std::size_t at) const;

  std::vector<Entry> entries_;      // sorted by text
  std::array<bool, 256> begins_{};  // whether any begins with this byte
};

class AddedTokens {
 public:
  AddedTokens(const std::optional<Place>& place, const Vocabulary& vocabulary, const Normalizer& normalizer);
  AddedTokens(const AddedTokens&) = delete;  // the finders point into it

  std::vector<Segment> cut_raw(std::string_view text, RegexScratch& scratch) const;
  std::vector<Segment> cut_normalized(std::string_view text, RegexScratch& scratch) const;

  const AddedToken* find(TokenId id) const;
  const AddedToken* find(std::string_view content) const;
  std::size_t highest_id_plus_one() const { return highest_id_plus_one_; }

 private:
  void read(const Place& place, const Vocabulary& vocabulary);
  void fill_finders(const Place& place, const Normalizer& normalizer);

  std::vector<AddedToken> tokens_;
  std::unordered_map<TokenId, std::size_t> by_id_;
  std::unordered_map<std::string, std::size_t> by_content_;
  TokenFinder raw_, normalized_;
  std::optional<Regex> word_;  // one word character; there if a token asks for single_word
  std::size_t highest_id_plus_one_ = 0;
};

}  // namespace moemill::text
