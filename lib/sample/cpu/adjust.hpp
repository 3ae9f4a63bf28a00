// Changes a row's logits before they are divided by the temperature: penalties on the tokens of the sample's history,
// and a mask on stop tokens as long as the sample has fewer than min_tokens tokens. Called by cpu::Sampler. Private to
// sample/cpu/.
#pragma once

#include <span>
#include <vector>

#include "sample/requests.hpp"

namespace moemill::cpu {

using sample::SampleRequest;

bool needs_adjustment(const SampleRequest& request);

class Adjuster {
 public:
  explicit Adjuster(std::uint32_t vocabulary);
  // Changes `logits` in place; those of masked tokens become -infinity. Each penalty is applied once per distinct
  // token, and only the frequency penalty grows with the number of times that the token occurs.
  void adjust(const SampleRequest& request, std::span<float> logits);

 private:
  std::vector<std::uint32_t> generated_count_;  // [vocabulary], all zero between calls
  std::vector<std::uint8_t> seen_;              // [vocabulary], 1 for the tokens in tokens_; all zero between calls
  std::vector<TokenId> tokens_;                 // the distinct tokens of the history
};

}  // namespace moemill::cpu
