// Rows made from numbers, and exact comparison of rows.
#pragma once

#include <bit>

#include "dataset/output_fields.hpp"

namespace moemill::dataset {

inline Completion ok_row(std::uint64_t prompt, std::uint32_t sample, std::uint32_t tokens, std::uint32_t k = 2) {
  Completion row;
  row.prompt_index = prompt;
  row.sample_index = sample;
  row.id = static_cast<std::int64_t>(prompt);
  row.status = RowStatus::Ok;
  row.finish_reason = tokens % 2 == 0 ? FinishReason::Length : FinishReason::Stop;
  row.num_prompt_tokens = static_cast<std::uint32_t>(prompt % 97 + 1);
  row.num_completion_tokens = tokens;
  row.seed = prompt * 0x9e3779b97f4a7c15ull + sample;
  row.cumulative_logprob = -0.5f * static_cast<float>(tokens);
  for (std::uint32_t t = 0; t < tokens; t++) {
    row.token_ids.push_back(static_cast<TokenId>((prompt * 31 + sample * 7 + t) % 2000));
    row.logprobs.push_back(-0.5f);
    for (std::uint32_t i = 0; i < k; i++) {
      row.top_ids.push_back(static_cast<TokenId>((row.token_ids.back() + static_cast<TokenId>(i)) % 2000));
      row.top_values.push_back(-0.5f - static_cast<float>(i));
    }
    row.text += t % 5 == 0 ? "ü" : "ab";
  }
  if (row.finish_reason == FinishReason::Stop) row.stop_reason = std::to_string(row.token_ids.back());
  return row;
}

inline bool same_floats(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); i++) {
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) return false;
  }
  return true;
}

inline bool same_row(const Completion& a, const Completion& b) {
  const OutputLayout all{true, true, 1, true, {}, {}, true, true};
  return differing_columns(a, b, all).empty() && a.error == b.error;
}

}  // namespace moemill::dataset
