// The lengths of a run's prompts and answers, which are all that its time depends on. Used by the dry run.
#pragma once

#include <cstdint>
#include <vector>

#include "base/run_config.hpp"

namespace moemill::mill {

struct PromptLengths {
  std::uint32_t tokens = 1;      // of the prompt, at least 1
  std::uint32_t max_tokens = 0;  // of an answer: what the scheduler takes room for
  std::uint32_t samples = 1;
  std::uint64_t first_answer = 0;  // of the samples' lengths in WorkLengths::answers
};

struct WorkLengths {
  SamplingParams sampling;             // of all prompts, but for n and max_tokens
  std::vector<PromptLengths> prompts;  // in the order of the run
  std::vector<std::uint32_t> answers;  // generated tokens of each sample: 1 to max_tokens, or 0 where that is 0

  void add(std::uint32_t tokens, std::uint32_t max_tokens, std::uint32_t samples, std::uint32_t answer);
  void take(const PromptLengths& prompt, const WorkLengths& from);  // a prompt of `from` with its answers
  std::uint64_t prompt_tokens() const;
  std::uint64_t answer_tokens() const;
  // Tokens of the longest sequence if all reach max_tokens; at least 1.
  std::uint32_t longest_sequence() const;
  // Rows that all ranks' steps compute.
  std::uint64_t rows() const { return prompt_tokens() + answer_tokens(); }
};

// `count` of the prompts, or all if there are fewer, at equal distances, with their answers.
WorkLengths sample_of(const WorkLengths& work, std::uint64_t count);

}  // namespace moemill::mill
