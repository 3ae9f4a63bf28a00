// Text <-> token ids as tokenizer.json or tiktoken.model says, read by run, validate and preview before and after the
// model. Promises: the ids and text of the Hugging Face tokenizers library for every file it accepts (what is not
// supported is refused by name), const use from many threads at once, and text that never splits a UTF-8 character.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "text/files/text_error.hpp"

namespace moemill::text {

enum class AddSpecial { No, Yes };   // Yes: what the post-processor adds (a BOS, say)
enum class SkipSpecial { No, Yes };  // Yes: tokens whose "special" is true leave no text

struct TokenizerParts;

// The texts of the files beside tokenizer.json that can add tokens; empty where there is none.
struct SideFiles {
  std::string dir;
  std::string tokenizer_config, added_tokens, special_tokens_map;
};

class Tokenizer {
 public:
  // Reads DIR/tokenizer.json and the tokens that DIR/tokenizer_config.json, added_tokens.json and
  // special_tokens_map.json add to it; where there is none, DIR/tiktoken.model with its tokenizer_config.json.
  // UserError names file, JSON path or line, and reason.
  static Tokenizer load(const std::string& dir);
  static Tokenizer parse(std::string_view json, const std::string& file_name, const SideFiles& side = {});
  static Tokenizer parse_tiktoken(std::string_view ranks, const std::string& file_name, std::string_view config,
                                  const std::string& config_name);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Throws BadUtf8, or TextError where a split pattern runs into its limits. Text of any length, NULs included.
  std::vector<TokenId> encode(std::string_view utf8, AddSpecial add) const;
  // Ids that do not exist are left out; bytes that are not UTF-8 become U+FFFD, one for each longest valid beginning.
  std::string decode(std::span<const TokenId> ids, SkipSpecial skip) const;

  std::size_t vocabulary_size() const;  // highest id + 1, added tokens included; ids below may have holes
  bool is_special(TokenId id) const;
  std::optional<TokenId> id_of(std::string_view token) const;  // by its spelling in tokenizer.json
  std::string token_bytes(TokenId id) const;                   // what it adds in mid-text; empty if there is none
  const std::string& fingerprint() const;            // SHA-256 of tokenizer.json, or of what counts of other files, hex
  const std::vector<std::string>& warnings() const;  // for the log, one sentence each

 private:
  friend class StreamDecoder;
  explicit Tokenizer(std::unique_ptr<TokenizerParts> parts);
  static Tokenizer load_tiktoken(const std::string& dir);
  void warn_about_config(const std::string& path, const std::string& text);
  std::unique_ptr<TokenizerParts> parts_;
};

// Decodes a completion as it grows, for stop strings and live text: push() gives the text that has become certain,
// finish() the rest. All of it together is decode(all ids, skip), less the text of the prompt that was read before: a
// space that a decoder takes from the first token of a text is taken from the prompt's first, not from the answer's.
// One per sequence; needs its Tokenizer to stay where it is or be moved, not destroyed.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, SkipSpecial skip);
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  ~StreamDecoder();

  void read_prompt(std::span<const TokenId> ids);  // before the first push
  void push(TokenId id, std::string& text);        // appends to text
  void finish(std::string& text);                  // appends; then the decoder is as new

 private:
  struct State;
  const TokenizerParts* parts_;
  SkipSpecial skip_;
  std::unique_ptr<State> state_;
};

}  // namespace moemill::text
