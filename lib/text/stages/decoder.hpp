// Spellings back to text, token by token: the steps of tokenizer.json's "decoder" as a stream, so that a whole text and
// a growing one are decoded by the same code. Const use from many threads, each with its own State.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/files/json_file.hpp"
#include "text/regex/regex.hpp"
#include "text/stages/byte_alphabet.hpp"

namespace moemill::text {

class Decoder {
 public:
  explicit Decoder(const std::optional<Place>& place);  // none: spellings with a space between

  struct StepState {
    bool begun = false;       // something came before
    std::string held;         // not certain yet
    std::size_t dropped = 0;  // characters stripped at the begin
  };
  // A new one is a new text.
  struct State {
    std::vector<StepState> token_steps, text_steps;
    StepState join;
    RegexScratch scratch;
  };
  State begin() const;
  void push(State& state, std::string_view token, std::string& text) const;  // appends what is certain now
  void finish(State& state, std::string& text) const;                        // appends the rest
  // What was pushed so far is a prompt, whose text stands elsewhere: only bytes of a cut character stay, for what
  // follows may complete it.
  void end_prompt(State& state) const;

  std::string bytes_in_mid_text(std::string_view token) const;

 private:
  struct Replace {
    Regex pattern;
    std::string content;
  };
  struct Strip {
    char32_t content;
    std::size_t start, stop;  // at most so many
  };
  struct ByteFallback {};  // "<0xE4>" is a byte
  enum class FirstToken { Drops, Keeps };
  struct Metaspace {
    char32_t replacement;
    FirstToken first;  // whether the first token's replacement characters become nothing
  };
  using TokenStep = std::variant<Replace, Strip, ByteFallback, Metaspace>;
  // How tokens become one text: with spaces between; as they are; as bytes of the byte alphabet.
  enum class Join { Spaces, Plain, Bytes };

  void read(const Place& place, int depth);
  void add_step(const Place& place, TokenStep step);

  void run_token(State& state, std::size_t step, std::string_view token, std::string& text) const;
  void flush_bytes(State& state, std::size_t step, std::string& text) const;
  void run_join(State& state, std::string_view token, std::string& text) const;
  void run_text(State& state, std::size_t step, std::string_view part, std::string& text) const;

  static std::string strip_token(const Strip& step, std::string_view token);
  static std::string read_metaspace(const Metaspace& step, std::string_view token, bool is_first);

  std::vector<TokenStep> token_steps_;
  Join join_ = Join::Spaces;
  bool joined_ = false;            // while reading: Fuse or ByteLevel has come
  std::vector<Strip> text_steps_;  // on the joined text
  ByteAlphabet alphabet_;
};

}  // namespace moemill::text
