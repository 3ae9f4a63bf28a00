// Converts text to token ids and back as tokenizer.json or tiktoken.model defines. Used by run, validate and preview.
// Promises: the same ids and text as the Hugging Face tokenizers library for every file that it accepts (unsupported
// parts are refused by name), const use from many threads at once, and text that never splits a UTF-8 character.
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

enum class AddSpecial { No, Yes };   // Yes adds the post-processor's tokens, for example a BOS
enum class SkipSpecial { No, Yes };  // Yes: tokens whose "special" flag is true produce no text

struct TokenizerParts;

// The contents of the files beside tokenizer.json that can add tokens; an empty string for a file that does not exist.
struct SideFiles {
  std::string dir;
  std::string tokenizer_config, added_tokens, special_tokens_map;
};

class Tokenizer {
 public:
  // Reads DIR/tokenizer.json and the tokens that DIR/tokenizer_config.json, added_tokens.json and
  // special_tokens_map.json add to it. Without a tokenizer.json, reads DIR/tiktoken.model and its
  // tokenizer_config.json. A UserError names the file, the JSON path or line, and the reason.
  static Tokenizer load(const std::string& dir);
  static Tokenizer parse(std::string_view json, const std::string& file_name, const SideFiles& side = {});
  static Tokenizer parse_tiktoken(std::string_view ranks, const std::string& file_name, std::string_view config,
                                  const std::string& config_name);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Throws BadUtf8, or TextError if a split pattern reaches its limits. The text may have any length and contain NULs.
  std::vector<TokenId> encode(std::string_view utf8, AddSpecial add) const;
  // Ids that do not exist are skipped. Invalid UTF-8 becomes U+FFFD, one for each maximal prefix of a valid character.
  std::string decode(std::span<const TokenId> ids, SkipSpecial skip) const;

  std::size_t vocabulary_size() const;  // highest id + 1, added tokens included; ids below it may be unused
  bool is_special(TokenId id) const;
  std::optional<TokenId> id_of(std::string_view token) const;  // by its spelling in tokenizer.json
  std::string token_bytes(TokenId id) const;         // bytes that the token adds in mid-text; empty for an unused id
  const std::string& fingerprint() const;            // SHA-256 in hex of all file contents that decide ids and texts
  const std::vector<std::string>& warnings() const;  // for the log, one sentence each

 private:
  friend class StreamDecoder;
  explicit Tokenizer(std::unique_ptr<TokenizerParts> parts);
  static Tokenizer load_tiktoken(const std::string& dir);
  void warn_about_config(const std::string& path, const std::string& text);
  std::unique_ptr<TokenizerParts> parts_;
};

// Decodes a completion as it grows, for stop strings and live text: push() appends the text that can no longer change,
// finish() the rest. Together they yield decode(prompt ids + completion ids, skip) without the prompt's text: a decoder
// that strips a space from the first token of a text strips it from the prompt's first token, not from the answer's.
// There is one StreamDecoder per sequence. Its Tokenizer may be moved but must outlive it.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, SkipSpecial skip);
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  ~StreamDecoder();

  void read_prompt(std::span<const TokenId> ids);  // called before the first push, if at all
  void push(TokenId id, std::string& text);        // appends to text
  void finish(std::string& text);                  // appends the rest and resets the decoder

 private:
  struct State;
  const TokenizerParts* parts_;
  SkipSpecial skip_;
  std::unique_ptr<State> state_;
};

}  // namespace moemill::text
