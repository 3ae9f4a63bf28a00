#include "text/stages/added_tokens.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/utf8.hpp"

namespace moemill::text {
namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

std::size_t character_before(std::string_view text, std::size_t at) {
  do at--;
  while (at > 0 && is_continuation(text[at]));
  return at;
}

std::size_t spaces_begin(std::string_view text, std::size_t end) {
  while (end > 0) {
    std::size_t before = character_before(text, end), at = before;
    if (!is_white_space(next_code_point(text, at))) break;
    end = before;
  }
  return end;
}

std::size_t spaces_end(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    std::size_t next = at;
    if (!is_white_space(next_code_point(text, next))) break;
    at = next;
  }
  return at;
}

bool matches(const Regex& regex, std::string_view character, RegexScratch& scratch) {
  bool found = false;
  regex.for_each(character, scratch, [&](Match) { found = true; });
  return found;
}

// Whether the match is part of a longer word.
bool in_a_word(std::string_view text, Match m, const Regex& word, RegexScratch& scratch) {
  if (m.begin > 0) {
    std::size_t before = character_before(text, m.begin);
    if (matches(word, text.substr(before, m.begin - before), scratch)) return true;
  }
  return m.end < text.size() && matches(word, text.substr(m.end, utf8_length(text[m.end])), scratch);
}

}  // namespace

void TokenFinder::add(std::string text, const AddedToken* token) {
  begins_[static_cast<unsigned char>(text[0])] = true;
  entries_.push_back({std::move(text), token});
}

void TokenFinder::finish() {
  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
}

// Narrows the sorted entries byte by byte. An entry that equals the common prefix is the first in the range.
const TokenFinder::Entry* TokenFinder::longest_at(std::string_view text, std::size_t at) const {
  const Entry* longest = nullptr;
  auto begin = entries_.begin(), end = entries_.end();
  for (std::size_t depth = 0; at + depth < text.size() && begin != end; depth++) {
    auto byte = static_cast<unsigned char>(text[at + depth]);
    auto byte_of = [depth](const Entry& e) {
      return e.text.size() > depth ? static_cast<int>(static_cast<unsigned char>(e.text[depth])) : -1;
    };
    begin = std::partition_point(begin, end, [&](const Entry& e) { return byte_of(e) < byte; });
    end = std::partition_point(begin, end, [&](const Entry& e) { return byte_of(e) <= byte; });
    if (begin != end && begin->text.size() == depth + 1) longest = &*begin;
  }
  return longest;
}

std::vector<Segment> TokenFinder::cut(std::string_view text, const std::optional<Regex>& word,
                                      RegexScratch& scratch) const {
  std::vector<Segment> segments;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Entry* entry = begins_[static_cast<unsigned char>(text[at])] ? longest_at(text, at) : nullptr;
    if (!entry) {
      at++;
      continue;
    }
    Match m{at, at + entry->text.size()};
    at = m.end;  // the search continues after the match, even if the match is not used
    if (entry->token->single_word && in_a_word(text, m, *word, scratch)) continue;
    if (entry->token->left_strip) m.begin = std::max(spaces_begin(text, m.begin), done);
    if (entry->token->right_strip) m.end = spaces_end(text, m.end);
    if (done < m.begin) segments.push_back({done, m.begin, std::nullopt});
    if (m.begin < m.end) segments.push_back({m.begin, m.end, entry->token->id});  // the previous one may cover it all
    done = m.end;
  }
  if (done != text.size()) segments.push_back({done, text.size(), std::nullopt});
  return segments;
}

AddedTokens::AddedTokens(const std::optional<Place>& place, const Vocabulary& vocabulary,
                         const Normalizer& normalizer) {
  if (!place) return;
  read(*place, vocabulary);
  fill_finders(*place, normalizer);
}

// The tokenizers library ignores the file's ids: a token gets its id in the vocabulary, or the next free id. A file
// with different ids is refused, because neither choice would be safe.
void AddedTokens::read(const Place& place, const Vocabulary& vocabulary) {
  auto next_id = static_cast<std::int64_t>(vocabulary.size());
  for (const Place& entry : place.elements()) {
    AddedToken token{entry.at("content").string(),
                     static_cast<TokenId>(entry.at("id").integer(0, id_limit - 1)),
                     entry.at("single_word").boolean(),
                     entry.at("lstrip").boolean(),
                     entry.at("rstrip").boolean(),
                     entry.at("normalized").boolean(),
                     entry.at("special").boolean(),
                     {},
                     false};
    if (token.content.empty()) continue;
    std::int64_t given = vocabulary.find(token.content).value_or(static_cast<TokenId>(next_id));
    if (given != token.id)
      entry.refuse(
          fmt::format("\"{}\" has the id {} here, but its id would be {} ({}); number the added tokens on from "
                      "the vocabulary without gaps",
                      token.content, token.id, given, given == next_id ? "the next free one" : "that of model.vocab"));
    next_id = std::max(next_id, given + 1);
    if (!by_content_.emplace(token.content, tokens_.size()).second)
      entry.refuse(fmt::format("\"{}\" appears twice", token.content));
    if (!by_id_.emplace(token.id, tokens_.size()).second ||
        (vocabulary.contains(token.id) && vocabulary.spelling(token.id) != token.content))
      entry.refuse(fmt::format("the id {} of \"{}\" belongs to another token", token.id, token.content));
    highest_id_plus_one_ = std::max(highest_id_plus_one_, static_cast<std::size_t>(token.id) + 1);
    tokens_.push_back(std::move(token));
  }
}

void AddedTokens::fill_finders(const Place& place, const Normalizer& normalizer) {
  RegexScratch scratch;
  for (AddedToken& token : tokens_)
    token.decoded = token.normalized ? normalizer.apply(token.content, scratch) : token.content;
  for (AddedToken& token : tokens_) {
    const AddedToken* same = find(token.decoded);
    token.decodes_as_special = same && same->special;
  }
  for (bool special : {true, false}) {  // if two tokens normalise to the same text, the special one takes precedence
    for (const AddedToken& token : tokens_) {
      if (token.special != special) continue;
      if (token.single_word && !word_) word_.emplace(R"([[:word:]\x{200c}\x{200d}])");
      if (token.decoded.empty()) place.refuse(fmt::format("the normalizer leaves nothing of \"{}\"", token.content));
      (token.normalized ? normalized_ : raw_).add(token.decoded, &token);
    }
  }
  raw_.finish();
  normalized_.finish();
}

std::vector<Segment> AddedTokens::cut_raw(std::string_view text, RegexScratch& scratch) const {
  return raw_.cut(text, word_, scratch);
}

std::vector<Segment> AddedTokens::cut_normalized(std::string_view text, RegexScratch& scratch) const {
  return normalized_.cut(text, word_, scratch);
}

const AddedToken* AddedTokens::find(TokenId id) const {
  auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  auto it = by_content_.find(std::string(content));
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

}  // namespace moemill::text
