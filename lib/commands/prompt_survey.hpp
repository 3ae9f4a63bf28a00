// Every prompt of a file read and tokenised as the run would do it, and counted: for validate.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "dataset/prompts/prompts.hpp"
#include "generate/double_bos.hpp"
#include "generate/prepare.hpp"

namespace moemill::mill {

struct PromptSurvey {
  std::uint64_t prompts = 0;
  std::uint64_t completions = 0;
  std::uint64_t tokens = 0;         // of prompts that work
  std::uint64_t shared_tokens = 0;  // of them, at the start of a prompt and equal to an earlier one's, in whole pages
  std::uint64_t duplicates = 0;     // prompts equal to an earlier one
  std::uint64_t cut = 0;            // changed by errors.too_long
  std::uint64_t doubled = 0;        // begin with the token that is added in front of them (double_bos.hpp)
  std::uint64_t longest = 0;
  std::uint64_t longest_sequence = 0;            // prompt and max_tokens
  std::uint64_t most_new_tokens = 0;             // all completions at max_tokens
  std::uint64_t failed_rows = 0;                 // completions of failing prompts
  std::vector<std::uint64_t> histogram;          // [i]: prompts of 2^i to 2^(i+1) - 1 tokens
  std::map<std::string, std::uint64_t> failing;  // by error code
  std::vector<std::string> examples;             // of failing prompts, the first few: row and message
};

// Memory: 8 bytes a prompt and a page of prompt tokens.
PromptSurvey survey(const dataset::PromptFile& prompts, const SamplingParams& defaults,
                    const text::Tokenizer* tokenizer, const PrepareRules& rules);

// A text bar for each class of lengths.
std::string histogram_text(const PromptSurvey& survey);

}  // namespace moemill::mill
