// Cuts added tokens ("<s>", "<|im_start|>") out of a text before any other stage sees it. Built from tokenizer.json's
// "added_tokens"; const use from many threads.
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
  std::string decoded;      // the text that the library decodes it to: the normalised content if `normalized` is set
  bool decodes_as_special;  // whether `decoded` is the content of a special token
};

// A stretch of plain text, or an added token if it has an id.
struct Segment {
  std::size_t begin, end;
  std::optional<TokenId> id;
};

// Finds the texts of a set in a longer text: the leftmost match first, the longest at each place.
class TokenFinder {
 public:
  void add(std::string text, const AddedToken* token);
  void finish();  // called once after the last add()
  std::vector<Segment> cut(std::string_view text, const std::optional<Regex>& word, RegexScratch& scratch) const;

 private:
  struct Entry {
    std::string text;
    const AddedToken* token;
  };
  const Entry* longest_at(std::string_view text, std::size_t at) const;

  std::vector<Entry> entries_;      // sorted by text
  std::array<bool, 256> begins_{};  // [first byte]: whether any entry begins with it
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
  std::optional<Regex> word_;  // matches one word character; set if a token asks for single_word
  std::size_t highest_id_plus_one_ = 0;
};

}  // namespace moemill::text
