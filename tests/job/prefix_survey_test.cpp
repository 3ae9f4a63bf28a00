// The survey of prefixes on several ranks against the order of all prompts in one place.
#include "job/prefix_survey.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "system/comm/agree.hpp"

using namespace moemill;
using namespace moemill::mill;
using schedule::PlacedPrompt;

namespace {

using Tokens = std::vector<TokenId>;

// Prompts of which many begin like an earlier one.
std::vector<Tokens> random_prompts(std::uint32_t seed, std::size_t count) {
  std::mt19937 random(seed);
  std::vector<Tokens> prompts;
  for (std::size_t p = 0; p < count; ++p) {
    Tokens tokens;
    if (p > 0 && random() % 3 > 0) {
      tokens = prompts[random() % p];
      tokens.resize(random() % (tokens.size() + 1));
    }
    for (std::size_t own = 1 + random() % 60; own > 0; --own) tokens.push_back(static_cast<TokenId>(random() % 500));
    prompts.push_back(random() % 10 == 0 && p > 0 ? prompts[random() % p] : tokens);
  }
  return prompts;
}

struct Result {
  std::vector<PlacedPrompt> places;                       // of rank 0
  std::vector<std::vector<schedule::BranchPrompt>> mine;  // [ranks]
  std::vector<std::uint64_t> first_mine;                  // [ranks]
  std::multiset<std::uint64_t> read;                      // prompts whose tokens were asked for
};

Result survey(const std::vector<Tokens>& prompts, int ranks, const std::set<std::uint64_t>& begun = {},
              std::uint64_t most_tokens = 1 << 20) {
  Result result;
  result.mine.resize(static_cast<std::size_t>(ranks));
  result.first_mine.resize(result.mine.size());
  std::mutex mutex;
  run_loopback(ranks, [&](Comm world) {
    const auto rank = static_cast<std::size_t>(world.rank()), size = static_cast<std::size_t>(ranks);
    const std::size_t first = rank * prompts.size() / size, end = (rank + 1) * prompts.size() / size;
    std::vector<std::uint64_t> heads;
    for (std::size_t p = first; p < end; ++p) heads.push_back(hash_of_head(prompts[p]));
    const std::vector<bool> repeated = repeated_heads(world, heads);
    std::vector<SurveyedPrompt> mine;
    for (std::size_t p = first; p < end; ++p)
      if (repeated[p - first])
        mine.push_back({{p, prompts[p].size(), 1, 8, begun.contains(p)},
                        ShardId{static_cast<std::int32_t>(p / 4)},
                        hash_of_head(prompts[p])});
    const auto tokens_of = [&](std::span<const SurveyedPrompt> wanted) {
      std::vector<Tokens> tokens;
      const std::lock_guard lock(mutex);
      for (const auto& one : wanted) tokens.push_back(prompts[one.size.prompt]), result.read.insert(one.size.prompt);
      return tokens;
    };
    PrefixSurvey got = survey_prefixes(world, mine, tokens_of, most_tokens);
    const std::lock_guard lock(mutex);
    result.mine[rank] = got.mine;
    result.first_mine[rank] = got.first_mine;
    if (rank == 0) result.places = got.places;
  });
  return result;
}

std::uint32_t common_tokens(const Tokens& a, const Tokens& b) {
  std::uint32_t common = 0;
  while (common < std::min(a.size(), b.size()) && a[common] == b[common]) ++common;
  return common;
}

}  // namespace

TEST_CASE("the survey finds all that begins alike, to the token, on any number of ranks") {
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    const std::vector<Tokens> prompts = random_prompts(seed, 1 + seed * 7 % 120);
    std::set<std::uint64_t> expected;  // prompts that begin like another one
    for (std::size_t a = 0; a < prompts.size(); ++a)
      for (std::size_t b = 0; b < prompts.size(); ++b)
        if (a != b && prompts[a].size() > 16 && prompts[b].size() > 16 && common_tokens(prompts[a], prompts[b]) >= 16)
          expected.insert(a);
    std::uint64_t shared_by_one = 0;
    for (const int ranks : {1, 2, 5}) {
      CAPTURE(ranks);
      const Result got = survey(prompts, ranks);
      std::set<std::uint64_t> placed;
      std::uint64_t shared = 0;
      for (std::size_t place = 0; place < got.places.size(); ++place) {
        const PlacedPrompt& one = got.places[place];
        CHECK(placed.insert(one.prompt).second);
        if (one.shared_tokens > 0)
          CHECK(one.shared_tokens == common_tokens(prompts[one.prompt], prompts[got.places[place - 1].prompt]));
        shared += one.shared_tokens;
      }
      CHECK(placed == expected);
      CHECK(std::set(got.read.begin(), got.read.end()) == expected);  // nobody else is read a second time
      CHECK(got.read.size() == expected.size());
      if (ranks == 1) shared_by_one = shared;
      CHECK(shared == shared_by_one);
      std::vector<std::uint64_t> of_ranks;
      for (std::size_t r = 0; r < got.mine.size(); ++r) {
        CHECK(got.first_mine[r] == of_ranks.size());
        for (const auto& one : got.mine[r]) of_ranks.push_back(one.size.prompt);
      }
      CHECK(std::ranges::equal(of_ranks, got.places, {}, {}, &PlacedPrompt::prompt));
    }
  }
}

TEST_CASE("begun prompts stand before those that begin like them, shard by shard") {
  std::vector<Tokens> prompts;
  for (TokenId p = 0; p < 24; ++p) {
    Tokens tokens(40, 7);
    tokens.push_back(100 + p);
    prompts.push_back(tokens);
  }
  const Result got = survey(prompts, 2, {3, 9, 10, 17});
  REQUIRE(got.places.size() == 24);
  std::vector<std::uint64_t> first;
  for (std::size_t place = 0; place < 5; ++place) first.push_back(got.places[place].prompt);
  CHECK(first == std::vector<std::uint64_t>{3, 9, 10, 17, 0});
  for (std::size_t place = 1; place < 24; ++place) CHECK(got.places[place].shared_tokens == 40);
  for (const auto& mine : got.mine) {
    const auto lots = schedule::cut_branches(mine, {.work = 24 * 49, .ranks = 1}, 0);
    for (const auto& lot : lots)
      for (std::size_t i = lot.first_place; i < lot.first_place + lot.prompts; ++i) {
        CHECK(mine[i].size.begun == lot.begun);
        if (lot.begun) CHECK(mine[i].shard == lot.shard);
      }
  }
}

TEST_CASE("an owner without memory for all tokens decides by their beginnings") {
  std::vector<Tokens> prompts;
  for (TokenId p = 0; p < 50; ++p) {
    Tokens tokens(300, 7);
    tokens.push_back(p % 5);
    tokens.push_back(100 + p);
    prompts.push_back(tokens);
  }
  CHECK(survey(prompts, 3).places[11].shared_tokens == 301);
  const Result got = survey(prompts, 3, {}, 50 * 200);
  REQUIRE(got.places.size() == 50);
  for (std::size_t place = 0; place < 50; ++place) {
    CHECK(got.places[place].prompt == place);  // nothing else is known of them
    CHECK(got.places[place].shared_tokens == (place == 0 ? 0 : 200));
  }
}

TEST_CASE("a rank that cannot read prompts again ends the survey on all ranks") {
  std::atomic<int> failed = 0;
  run_loopback(3, [&](Comm world) {
    const Tokens tokens(20, 1);
    const SurveyedPrompt mine{
        {static_cast<std::uint64_t>(world.rank()), 20, 1, 8, false}, ShardId{0}, hash_of_head(tokens)};
    const auto tokens_of = [&](std::span<const SurveyedPrompt>) -> std::vector<Tokens> {
      if (world.rank() == 1) user_error("prompts.h5 has gone");
      return {tokens};
    };
    CHECK_THROWS_AS(survey_prefixes(world, std::span(&mine, 1), tokens_of), AgreedFailure);
    ++failed;
  });
  CHECK(failed == 3);
}
