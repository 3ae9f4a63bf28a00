// Reads, tokenises and counts all prompts of a file as the run would do it. Used by validate.
#pragma once

#include <cstdint>
#include <functional>
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
  std::uint64_t tokens = 0;         // of prompts that do not fail
  double squares = 0;               // sum of their squared lengths
  std::uint64_t shared_tokens = 0;  // of these, in whole pages at a prompt's start that an earlier prompt has as well
  std::uint64_t duplicates = 0;     // prompts equal to an earlier one
  std::uint64_t cut = 0;            // prompts changed by errors.too_long
  std::uint64_t doubled = 0;        // prompts that begin with the token that is added in front (double_bos.hpp)
  std::uint64_t longest = 0;
  std::uint64_t longest_sequence = 0;            // prompt and max_tokens
  std::uint64_t most_new_tokens = 0;             // if all completions reach max_tokens
  std::uint64_t failed_rows = 0;                 // completions of failing prompts
  std::vector<std::uint64_t> histogram;          // [i]: prompts of 2^i to 2^(i+1) - 1 tokens
  std::map<std::string, std::uint64_t> failing;  // by error code
  std::vector<std::string> examples;             // the first few failing prompts: row and message
};

// Takes 8 bytes of memory per prompt and per page of prompt tokens. `each` sees every prompt that does not fail.
PromptSurvey survey(
    const dataset::PromptFile& prompts, const SamplingParams& defaults, const text::Tokenizer* tokenizer,
    const PrepareRules& rules, const std::function<void(const PreparedPrompt&)>& each = [](const auto&) {});

// One line with a bar per class of lengths.
std::string histogram_text(const PromptSurvey& survey);

}  // namespace moemill::mill
