// When a completion ends: stop tokens, stop strings, length, repetition, checked after each drawn token at a cost that
// does not grow with the completion. The generator keeps one per sequence and decodes the text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/run_config.hpp"
#include "schedule/sequence.hpp"

namespace moemill::sample {

// The tokens that end a completion: the model's EOS tokens (unless ignore_eos) and stop_token_ids; ascending, unique.
// These are also the tokens that the sampler does not draw before min_tokens.
std::vector<TokenId> stop_tokens(const SamplingParams& params, std::span<const TokenId> eos);

// The order when several apply to one token: stop token, stop string, length, repetition. Before min_tokens tokens only
// length ends a completion; a stop string counts when it ends in text that came after them (vLLM's rule).
class Stopping {
 public:
  // `params` and `stop_tokens` must outlive the sequence.
  void start(const SamplingParams& params, std::span<const TokenId> stop_tokens);
  // `text` is what the token added to the decoded text (often a part of a character is held back: then it comes with a
  // later token). With a stop token, and where no stop strings are given, it is not looked at.
  schedule::FinishReason push(TokenId token, std::string_view text);
  // Bytes of all pushed text that belong to the completion: all of it, or up to the stop string.
  std::size_t text_bytes() const { return text_bytes_; }
  // The stop string that ended it: the first of the list where several begin at the same place. "" before.
  const std::string& stop_string() const { return stop_string_; }

 private:
  bool finds_stop_string(std::string_view text);
  bool finds_repetition(TokenId token);

  const SamplingParams* params_ = nullptr;
  std::span<const TokenId> stop_tokens_;
  std::uint32_t tokens_ = 0;
  std::size_t text_bytes_ = 0;
  std::string stop_string_;
  std::size_t longest_stop_ = 0;        // bytes
  std::string tail_;                    // the last longest_stop_ - 1 bytes of text
  std::vector<TokenId> recent_;         // ring of the last max_pattern_size tokens
  std::vector<std::uint32_t> matches_;  // [p - 1]: how many of the last tokens equal the one p before
};

}  // namespace moemill::sample
