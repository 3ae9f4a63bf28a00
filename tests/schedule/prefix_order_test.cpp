// The order of prompts by their prefixes against a tree of nested maps and against every pair of prompts.
#include "schedule/prefix_order.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "base/error.hpp"

using namespace moemill;
using namespace moemill::schedule;

namespace {

using PrefixTokens = std::vector<TokenId>;

std::vector<std::span<const TokenId>> views_of(const std::vector<PrefixTokens>& prompts) {
  return {prompts.begin(), prompts.end()};
}

// Tokens to compute, if the places first .. last - 1 of the order go to one rank that keeps each prefix while prompts
// with it are left, and the last token of each prompt is always computed.
std::uint64_t computed_tokens(std::span<const std::span<const TokenId>> prompts, const PrefixOrder& order,
                              std::size_t first, std::size_t last) {
  expect(first <= last && last <= order.prompts.size(), "prefix order: places of the order");
  std::uint64_t computed = 0;
  for (std::size_t place = first; place < last; ++place) {
    const std::size_t tokens = prompts[order.prompts[place]].size();
    if (tokens == 0) continue;
    const std::size_t shared = place == first ? 0 : order.shared_tokens[place];
    computed += tokens - std::min(shared, tokens - 1);
  }
  return computed;
}

std::size_t common_by_hand(const PrefixTokens& left, const PrefixTokens& right) {
  std::size_t common = 0;
  while (common < left.size() && common < right.size() && left[common] == right[common]) ++common;
  return common;
}

// Different prefixes, which are the nodes of the tree, and one more for each prompt that ends where another prompt
// before it has been: its last token is computed again.
std::uint64_t computed_by_hand(const std::vector<PrefixTokens>& prompts, const PrefixOrder& order, std::size_t first,
                               std::size_t last) {
  std::set<PrefixTokens> nodes;
  std::uint64_t again = 0;
  for (std::size_t place = first; place < last; ++place) {
    const PrefixTokens& prompt = prompts[order.prompts[place]];
    if (!prompt.empty() && nodes.contains(prompt)) ++again;
    for (std::size_t end = 1; end <= prompt.size(); ++end) {
      nodes.insert({prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(end)});
    }
  }
  return nodes.size() + again;
}

void check_order(const std::vector<PrefixTokens>& prompts, std::size_t cut) {
  const auto views = views_of(prompts);
  const PrefixOrder order = order_by_prefix(views, 1);
  REQUIRE(order.prompts.size() == prompts.size());
  REQUIRE(order.shared_tokens.size() == prompts.size());
  CHECK(std::set<std::uint32_t>(order.prompts.begin(), order.prompts.end()).size() == prompts.size());
  for (std::size_t place = 0; place < prompts.size(); ++place) {
    const PrefixTokens& prompt = prompts[order.prompts[place]];
    std::size_t most = 0;
    for (std::size_t before = 0; before < place; ++before) {
      most = std::max(most, common_by_hand(prompts[order.prompts[before]], prompt));
    }
    CHECK(order.shared_tokens[place] == most);
    if (place > 0 && prompts[order.prompts[place - 1]] == prompt) {
      CHECK(order.prompts[place - 1] < order.prompts[place]);
    }
  }
  CHECK(computed_tokens(views, order, 0, cut) == computed_by_hand(prompts, order, 0, cut));
  CHECK(computed_tokens(views, order, cut, prompts.size()) == computed_by_hand(prompts, order, cut, prompts.size()));
}

}  // namespace

TEST_CASE("prompts stand behind the one that they share most with, to the token") {
  const std::vector<PrefixTokens> prompts = {{1, 2, 3, 4}, {7}, {1, 2, 5}, {1, 2, 3, 4}, {1, 2}, {}, {1, 2, 3, 9}};
  const PrefixOrder order = order_by_prefix(views_of(prompts), 1);
  CHECK(order.prompts == std::vector<std::uint32_t>{0, 3, 6, 2, 4, 1, 5});
  CHECK(order.shared_tokens == std::vector<std::uint32_t>{0, 4, 3, 2, 2, 0, 0});
  CHECK(computed_tokens(views_of(prompts), order, 0, 7) == 4 + 1 + 1 + 1 + 1 + 1);
  CHECK(computed_tokens(views_of(prompts), order, 3, 3) == 0);
  CHECK_THROWS_AS(computed_tokens(views_of(prompts), order, 0, 8), ContractViolation);
}

TEST_CASE("random prompts of few different tokens, duplicates among them, agree with every pair and the tree") {
  std::mt19937 random(15);  // its numbers are the same everywhere, those of distributions are not
  for (int round = 0; round < 200; ++round) {
    const std::uint32_t alphabet = 1 + random() % 3;
    std::vector<PrefixTokens> prompts(1 + random() % 24);
    for (PrefixTokens& prompt : prompts) {
      prompt.resize(random() % 10);
      for (std::int32_t& token : prompt) token = static_cast<std::int32_t>(random() % alphabet);
    }
    check_order(prompts, random() % (prompts.size() + 1));
  }
}

TEST_CASE("a made-up trace with 56 % shared leaves 44 % to compute, and one prefix again where it is cut") {
  std::vector<PrefixTokens> prompts;
  for (std::int32_t p = 0; p < 400; ++p) {
    // 4 prefixes of 560 tokens; 440 tokens of each prompt's own, the first of which no other has.
    PrefixTokens prompt(1000, 100 + p);
    std::fill_n(prompt.begin(), 560, p % 4);
    prompts.push_back(prompt);
  }
  const auto views = views_of(prompts);
  const PrefixOrder order = order_by_prefix(views);
  const std::uint64_t least = 400 * 440 + 4 * 560;
  CHECK(computed_tokens(views, order, 0, 400) == least);
  CHECK(computed_tokens(views, order, 0, 200) + computed_tokens(views, order, 200, 400) == least);
  CHECK(computed_tokens(views, order, 0, 150) + computed_tokens(views, order, 150, 400) == least + 560);
}
