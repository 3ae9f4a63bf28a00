#include "sample/cpu/adjust.hpp"

#include <limits>

namespace moemill::cpu {
namespace {

bool has_penalties(const SamplingParams& p) {
  return p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f || p.frequency_penalty != 0.0f;
}

bool masks_stops(const SampleRequest& request) {
  return request.generated.size() < request.params->min_tokens && !request.stop_tokens.empty();
}

}  // namespace

bool needs_adjustment(const SampleRequest& request) { return has_penalties(*request.params) || masks_stops(request); }

Adjuster::Adjuster(std::uint32_t vocabulary) : generated_count_(vocabulary, 0), seen_(vocabulary, 0) {}

void Adjuster::adjust(const SampleRequest& request, std::span<float> logits) {
  const SamplingParams& params = *request.params;
  if (has_penalties(params)) {
    tokens_.clear();
    auto see = [&](TokenId token) {
      auto i = static_cast<std::size_t>(token);
      if (seen_[i] == 0) tokens_.push_back(token);
      seen_[i] = 1;
    };
    if (params.repetition_penalty != 1.0f) {
      for (TokenId token : request.prompt) see(token);
    }
    for (TokenId token : request.generated) see(token), ++generated_count_[static_cast<std::size_t>(token)];
    for (TokenId token : tokens_) {
      auto i = static_cast<std::size_t>(token);
      float& logit = logits[i];
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
      if (generated_count_[i] > 0) {
        logit -= params.presence_penalty;
        logit -= params.frequency_penalty * static_cast<float>(generated_count_[i]);
      }
      seen_[i] = 0, generated_count_[i] = 0;
    }
  }
  if (masks_stops(request)) {
    for (TokenId token : request.stop_tokens) {
      auto i = static_cast<std::size_t>(token);
      if (i < logits.size()) logits[i] = -std::numeric_limits<float>::infinity();
    }
  }
}

}  // namespace moemill::cpu
