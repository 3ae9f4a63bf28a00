// Prompts become tokens, or faults of their own rows.
#include "generate/prepare.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace moemill;
using namespace moemill::mill;

namespace {

text::Tokenizer tiny_tokenizer() {
  return text::Tokenizer::load(std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3");
}

dataset::Prompt token_prompt(std::size_t length, std::uint32_t max_tokens) {
  dataset::Prompt prompt;
  for (std::size_t i = 0; i < length; ++i) prompt.token_ids.push_back(static_cast<TokenId>(10 + i));
  prompt.sampling.max_tokens = max_tokens;
  return prompt;
}

PrepareRules rules(TooLong policy) { return {policy, 32, 100}; }

}  // namespace

TEST_CASE("too long prompts by each policy") {
  auto tokenizer = tiny_tokenizer();
  SUBCASE("what fits is left alone, up to the last token") {
    for (TooLong policy : {TooLong::FailRow, TooLong::TruncateLeft, TooLong::TruncateRight, TooLong::ReduceMaxTokens}) {
      auto p = prepare(token_prompt(20, 12), &tokenizer, rules(policy));
      CHECK(!p.fault);
      CHECK(p.tokens.size() == 20);
      CHECK(p.sampling.max_tokens == 12);
    }
  }
  SUBCASE("fail_row") {
    auto p = prepare(token_prompt(21, 12), &tokenizer, rules(TooLong::FailRow));
    REQUIRE(p.fault);
    CHECK(p.fault->code == dataset::ErrorCode::TooLong);
    CHECK(p.full_length == 21);
  }
  SUBCASE("truncate") {
    auto left = prepare(token_prompt(40, 12), &tokenizer, rules(TooLong::TruncateLeft));
    CHECK(left.tokens.size() == 20);
    CHECK(left.tokens.back() == 49);
    auto right = prepare(token_prompt(40, 12), &tokenizer, rules(TooLong::TruncateRight));
    CHECK(right.tokens.size() == 20);
    CHECK(right.tokens.front() == 10);
    CHECK(prepare(token_prompt(4, 32), &tokenizer, rules(TooLong::TruncateLeft)).fault);
  }
  SUBCASE("reduce_max_tokens") {
    auto p = prepare(token_prompt(30, 12), &tokenizer, rules(TooLong::ReduceMaxTokens));
    CHECK(!p.fault);
    CHECK(p.sampling.max_tokens == 2);
    CHECK(prepare(token_prompt(32, 12), &tokenizer, rules(TooLong::ReduceMaxTokens)).fault);
  }
}

TEST_CASE("bad prompts come out as faults") {
  auto tokenizer = tiny_tokenizer();
  auto code = [&](dataset::Prompt prompt) { return prepare(prompt, &tokenizer, rules(TooLong::FailRow)).fault->code; };
  dataset::Prompt prompt = token_prompt(3, 1);
  prompt.token_ids[1] = 100;  // one more than the last id
  CHECK(code(prompt) == dataset::ErrorCode::BadToken);
  prompt.token_ids[1] = -1;
  CHECK(code(prompt) == dataset::ErrorCode::BadToken);
  prompt.token_ids.clear();
  prompt.add_special_tokens = false;
  CHECK(code(prompt) == dataset::ErrorCode::Empty);
  prompt.text = "\xff\xfe";
  CHECK(code(prompt) == dataset::ErrorCode::BadUtf8);
}
