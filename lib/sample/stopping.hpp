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

// The tokens that end a completion: the model's EOS tokens (unless ignore_eos) and stop_token_ids, in ascending
// order and without duplicates. These are also the tokens that the sampler does not draw before min_tokens.
std::vector<TokenId> stop_tokens(const SamplingParams& params, std::span<const TokenId> eos);

// If several reasons apply to one token, the first of these is reported: stop token, stop string, length, repetition.
// Only length ends a completion within its first min_tokens tokens; a stop string counts if its end is in the text of a
// later token (vLLM's rule).
class Stopping {
 public:
  // `params` and `stop_tokens` must outlive the sequence.
  void start(const SamplingParams& params, std::span<const TokenId> stop_tokens);
  // `text` is what the token added to the decoded text. The decoder holds back the bytes of an incomplete character, so
  // they come with a later token. The text of a stop token is ignored.
  schedule::FinishReason push(TokenId token, std::string_view text);
  // How many bytes of the pushed text belong to the completion: all, or those before the stop string.
  std::size_t text_bytes() const { return text_bytes_; }
  // The stop string that ended the completion, "" if none has. It is the one that begins first in the text; ties: the
  // first in the list.
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
  std::vector<TokenId> recent_;         // ring buffer of the last max_pattern_size tokens
  std::vector<std::uint32_t> matches_;  // [p - 1]: how many tokens in a row, up to the last, equal the one p before
};

}  // namespace moemill::sample
