// Turns spellings of tokens back into text, token by token. Runs the steps of tokenizer.json's "decoder" as a stream,
// so complete and growing texts are decoded by the same code. Const use from many threads, each with its own State.
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
  explicit Decoder(const std::optional<Place>& place);  // nullopt: spellings are joined by spaces

  struct StepState {
    bool begun = false;       // whether the step has had input before
    std::string held;         // text that may still change
    std::size_t dropped = 0;  // characters stripped at the beginning
  };
  // One State per decoded text.
  struct State {
    std::vector<StepState> token_steps, text_steps;
    StepState join;
    RegexScratch scratch;
  };
  State begin() const;
  void push(State& state, std::string_view token, std::string& text) const;  // appends text that can no longer change
  void finish(State& state, std::string& text) const;                        // appends the rest
  // Declares the tokens pushed so far to be the prompt, whose text is not wanted. Only the bytes of an incomplete
  // character are kept, because the next token may complete it.
  void end_prompt(State& state) const;

  std::string bytes_in_mid_text(std::string_view token) const;

 private:
  struct Replace {
    Regex pattern;
    std::string content;
  };
  struct Strip {
    char32_t content;
    std::size_t start, stop;  // the most characters to strip at each end
  };
  struct ByteFallback {};  // reads "<0xE4>" as one byte
  enum class FirstToken { Drops, Keeps };
  struct Metaspace {
    char32_t replacement;
    FirstToken first;  // whether replacement characters are dropped from the first token
  };
  using TokenStep = std::variant<Replace, Strip, ByteFallback, Metaspace>;
  // How tokens become one text: joined by spaces, simply concatenated, or read as bytes of the byte alphabet.
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
  bool joined_ = false;            // whether the constructor has read Fuse or ByteLevel
  std::vector<Strip> text_steps_;  // steps that run on the joined text
  ByteAlphabet alphabet_;
};

}  // namespace moemill::text
