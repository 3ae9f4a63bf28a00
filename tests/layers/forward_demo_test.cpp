// The shipped demo model answers as transformers does.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "layers/driver.hpp"

using namespace moemill;
using namespace moemill::test;

TEST_CASE_TEMPLATE("demo model: greedy tokens are transformers'", On, OnCpu) {
  const std::string demo = std::string(MOEMILL_SOURCE_DIR) + "/configs/demo";
  REQUIRE(std::filesystem::exists(demo + "/golden.jsonl"));
  std::ifstream file(demo + "/golden.jsonl");
  std::vector<Text> texts;
  std::vector<std::vector<TokenId>> expected;
  std::vector<std::vector<float>> margins;
  for (std::string line; std::getline(file, line);) {
    const auto golden = nlohmann::json::parse(line);
    expected.push_back(golden.at("token_ids"));
    margins.push_back(golden.at("margins"));
    texts.push_back({golden.at("prompt_token_ids"), static_cast<std::uint32_t>(expected.back().size())});
  }
  REQUIRE(texts.size() == 16);
  const auto answers = answer<On>(demo + "/model", texts, {.ranks = 2});
  std::size_t equal = 0, total = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    total += expected[i].size();
    for (std::size_t t = 0; t < expected[i].size(); ++t) {
      CAPTURE(i);
      CAPTURE(t);
      CAPTURE(margins[i][t]);
      // Rounding activations to bf16 moves logits of this size, about 20, by 20 / 2^8 at most now and then.
      if (margins[i][t] > 20.0f / 256) CHECK(answers[i].generated[t] == expected[i][t]);
      if (answers[i].generated[t] != expected[i][t]) break;
      ++equal;
    }
  }
  MESSAGE(equal, " of ", total, " greedy tokens are transformers'");
  CHECK(equal >= total * 9 / 10);
}
