// Finds prompts whose text begins with the token that the tokenizer adds before each (a BOS, as chat templates write
// it): the model then reads it twice and answers worse, without any visible error. Counted by validate and run, shown
// by preview.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataset/prompts/prompts.hpp"
#include "system/comm/comm.hpp"
#include "text/tokenizer.hpp"

namespace moemill::mill {

class FrontTokens {
 public:
  explicit FrontTokens(const text::Tokenizer* tokenizer);  // null if prompts are token ids
  bool any() const { return !tokens_.empty(); }
  bool doubled_in(const dataset::Prompt& prompt) const;
  // The sentence for `count` of `prompts` prompts; both are 0 for a single prompt that is being shown.
  std::string warning(std::uint64_t count, std::uint64_t prompts) const;

 private:
  const text::Tokenizer* tokenizer_;
  std::vector<TokenId> tokens_;  // the tokens that are added before a text
  std::string first_;            // the text of the first of them
};

// Counts over all prompts of the file, each rank reading its share of them; the result is the same on all ranks.
std::uint64_t count_doubled(const Comm& world, const dataset::PromptFile& prompts, const SamplingParams& defaults,
                            const FrontTokens& front);

}  // namespace moemill::mill
