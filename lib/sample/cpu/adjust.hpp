// What changes logits before temperature: penalties over a sample's history, and the mask on stop tokens before
// min_tokens. Private to sample/cpu/.
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
  // In place; masked tokens become -infinity. Each token is changed once, however often it occurs.
  void adjust(const SampleRequest& request, std::span<float> logits);

 private:
  std::vector<std::uint32_t> generated_count_;  // [vocabulary], all zero between calls
  std::vector<std::uint8_t> seen_;              // [vocabulary], likewise
  std::vector<TokenId> tokens_;                 // those of the history, each once
};

}  // namespace moemill::cpu
