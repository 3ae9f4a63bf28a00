// Converts a row of prompts.h5 to the tokens that the model reads: tokenised, checked, cut by errors.too_long. A prompt
// that cannot work yields a fault, never an exception. Used by the survey of prefixes, the loop, validate, preview and
// replay, so that all agree.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "text/tokenizer.hpp"

namespace moemill::mill {

struct PrepareRules {
  TooLong too_long = TooLong::FailRow;
  std::uint32_t max_model_len = 0;  // prompt and completion together
  std::uint32_t vocabulary = 0;     // ids of the token form must be below it
};

struct PreparedPrompt {
  std::uint64_t index = 0;
  dataset::PromptId id;
  std::vector<TokenId> tokens;
  SamplingParams sampling;  // max_tokens is lowered if the policy asks for it
  std::optional<dataset::RowFault> fault;
  std::uint32_t full_length = 0;  // tokens before any cut
};

// `tokenizer` may be null if prompts are token ids.
PreparedPrompt prepare(const dataset::Prompt& prompt, const text::Tokenizer* tokenizer, const PrepareRules& rules);

}  // namespace moemill::mill
