#include <algorithm>
#include <bit>
#include <type_traits>

#include "dataset/outputs/outputs.hpp"

namespace moemill::dataset {
namespace {

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  if constexpr (std::is_same_v<T, float>) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
      return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
    });
  } else {
    return a == b;
  }
}

}  // namespace

bool same_block(const OutputBlock& a, const OutputBlock& b) {
  return a.prompt_index == b.prompt_index && a.sample_index == b.sample_index && a.integer_ids == b.integer_ids &&
         a.text_ids == b.text_ids && a.status == b.status && a.finish_reason == b.finish_reason &&
         a.num_prompt_tokens == b.num_prompt_tokens && a.num_completion_tokens == b.num_completion_tokens &&
         a.seed == b.seed && same_bits(a.cumulative_logprob, b.cumulative_logprob) && a.text_bytes == b.text_bytes &&
         a.text == b.text && a.token_counts == b.token_counts && a.token_ids == b.token_ids &&
         same_bits(a.logprobs, b.logprobs) && a.top_ids == b.top_ids && same_bits(a.top_values, b.top_values) &&
         a.stop_bytes == b.stop_bytes && a.stop_reason == b.stop_reason;
}

bool same_block(const ScoreBlock& a, const ScoreBlock& b) {
  return a.counts == b.counts && same_bits(a.values, b.values);
}

bool same_block(const PromptTokenBlock& a, const PromptTokenBlock& b) {
  return a.counts == b.counts && a.values == b.values;
}

}  // namespace moemill::dataset
