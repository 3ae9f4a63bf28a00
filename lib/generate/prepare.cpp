#include "generate/prepare.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"

namespace moemill::mill {
namespace {

using dataset::ErrorCode;
using dataset::RowFault;

RowFault bad_token(std::size_t place, TokenId id, std::uint32_t vocabulary) {
  return {ErrorCode::BadToken, fmt::format("token {} of the prompt is {}, but the model's ids are 0 to {}", place, id,
                                           static_cast<std::int64_t>(vocabulary) - 1)};
}

// Applies errors.too_long: prompt and max_tokens together must fit max_model_len.
void fit(PreparedPrompt& p, const text::Tokenizer* tokenizer, const PrepareRules& rules) {
  const std::uint64_t length = p.tokens.size(), limit = rules.max_model_len;
  const std::uint64_t wanted = p.sampling.max_tokens;
  if (length + wanted <= limit) return;
  auto too_long = [&](const char* advice) {
    p.fault =
        RowFault{ErrorCode::TooLong, fmt::format("{} prompt tokens and max_tokens {} exceed model.max_model_len {}{}",
                                                 length, wanted, limit, advice)};
  };
  if (rules.too_long == TooLong::FailRow) return too_long("; see errors.too_long");
  if (rules.too_long == TooLong::ReduceMaxTokens) {
    if (length >= limit) return too_long(" and leave no room for an answer");
    p.sampling.max_tokens = static_cast<std::uint32_t>(limit - length);
    p.sampling.min_tokens = std::min(p.sampling.min_tokens, p.sampling.max_tokens);
    return;
  }
  if (wanted >= limit) return too_long(" and leave no room for a prompt");
  const auto kept = static_cast<std::ptrdiff_t>(limit - wanted);
  if (rules.too_long == TooLong::TruncateLeft) {
    const std::ptrdiff_t head =
        tokenizer && tokenizer->is_special(p.tokens[0]) && kept > 1 ? 1 : 0;  // a BOS stays at the beginning
    p.tokens.erase(p.tokens.begin() + head, p.tokens.end() - (kept - head));
  } else {
    p.tokens.resize(static_cast<std::size_t>(kept));
  }
}

}  // namespace

PreparedPrompt prepare(const dataset::Prompt& prompt, const text::Tokenizer* tokenizer, const PrepareRules& rules) {
  PreparedPrompt p{prompt.index, prompt.id, prompt.token_ids, prompt.sampling, prompt.fault, 0};
  if (p.fault) return p;
  if (p.tokens.empty()) {
    expect(tokenizer != nullptr, "prompts of text come with a tokenizer");
    try {
      p.tokens =
          tokenizer->encode(prompt.text, prompt.add_special_tokens ? text::AddSpecial::Yes : text::AddSpecial::No);
    } catch (const text::BadUtf8& e) {
      p.fault = RowFault{ErrorCode::BadUtf8, e.what()};
    } catch (const text::TextError& e) {
      p.fault = RowFault{ErrorCode::Internal, e.what()};
    }
    if (p.fault) return p;
  }
  p.full_length = static_cast<std::uint32_t>(p.tokens.size());
  if (p.tokens.empty()) {
    p.fault = RowFault{ErrorCode::Empty, "the prompt has no tokens"};
    return p;
  }
  for (std::size_t i = 0; i < p.tokens.size() && !p.fault; ++i)
    if (p.tokens[i] < 0 || static_cast<std::uint32_t>(p.tokens[i]) >= rules.vocabulary)
      p.fault = bad_token(i, p.tokens[i], rules.vocabulary);
  p.sampling.min_tokens =
      std::min(p.sampling.min_tokens, p.sampling.max_tokens);  // a column may have lowered max_tokens
  if (!p.fault) fit(p, tokenizer, rules);
  return p;
}

}  // namespace moemill::mill
