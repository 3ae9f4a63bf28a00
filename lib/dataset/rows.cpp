#include "dataset/rows.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.hpp"

namespace moemill::dataset {
namespace {

// The number of top logprobs per token of a row.
std::size_t width_of_tops(const Completion& row) {
  const std::size_t tokens = row.token_ids.size();
  if (tokens == 0) return 0;
  expect(row.top_ids.size() % tokens == 0, "all tokens of a row have the same number of top logprobs");
  return row.top_ids.size() / tokens;
}

}  // namespace

std::string_view name_of(ErrorCode code) { return error_code_names.at(static_cast<std::size_t>(code)); }

std::optional<ErrorCode> parse_error_code(std::string_view name) {
  for (std::size_t i = 0; i < error_code_names.size(); i++) {
    if (error_code_names[i] == name) return static_cast<ErrorCode>(i);
  }
  return std::nullopt;
}

std::string to_text(const PromptId& id) {
  if (const auto* number = std::get_if<std::int64_t>(&id)) return std::to_string(*number);
  return std::get<std::string>(id);
}

Completion failed_row(std::uint64_t prompt_index, std::uint32_t sample_index, const PromptId& id, RowFault fault) {
  Completion row;
  row.prompt_index = prompt_index;
  row.sample_index = sample_index;
  row.id = id;
  row.status = RowStatus::Failed;
  row.finish_reason = FinishReason::Error;
  row.error = std::move(fault);
  return row;
}

void widen_logprobs(Completion& row, std::uint32_t k) {
  constexpr float missing = std::numeric_limits<float>::quiet_NaN();
  const std::size_t tokens = row.token_ids.size(), own = width_of_tops(row);
  row.logprobs.resize(tokens, missing);
  if (own == k) return;
  std::vector<TokenId> ids(tokens * k, -1);
  std::vector<float> values(tokens * k, missing);
  for (std::size_t t = 0; t < tokens; t++) {
    for (std::size_t i = 0; i < std::min<std::size_t>(own, k); i++) {
      ids[t * k + i] = row.top_ids[t * own + i];
      values[t * k + i] = row.top_values[t * own + i];
    }
  }
  row.top_ids = std::move(ids);
  row.top_values = std::move(values);
}

void narrow_logprobs(Completion& row) {
  const std::size_t tokens = row.token_ids.size(), wide = width_of_tops(row);
  if (!row.logprobs.empty() && std::isnan(row.logprobs[0])) {
    row.logprobs.clear();
    row.top_ids.clear();
    row.top_values.clear();
    return;
  }
  std::size_t own = 0;
  while (own < wide && row.top_ids[own] >= 0) own++;
  if (own == wide) return;
  for (std::size_t t = 0; t < tokens; t++) {
    for (std::size_t i = 0; i < own; i++) {
      row.top_ids[t * own + i] = row.top_ids[t * wide + i];
      row.top_values[t * own + i] = row.top_values[t * wide + i];
    }
  }
  row.top_ids.resize(tokens * own);
  row.top_values.resize(tokens * own);
}

}  // namespace moemill::dataset
