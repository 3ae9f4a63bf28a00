// Lots cover every missing sample once, are about 1/64 of a rank's share, and depend on nothing else.
#include "schedule/lots.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <utility>

#include "base/error.hpp"
#include "base/numbers/random.hpp"

using namespace moemill;
using namespace moemill::schedule;

namespace {

std::vector<PromptSize> alike(std::uint64_t prompts, std::uint32_t samples, std::uint64_t tokens,
                              std::uint32_t max_tokens) {
  std::vector<PromptSize> sizes;
  for (std::uint64_t p = 0; p < prompts; ++p) sizes.push_back({p, tokens, samples, max_tokens, false});
  return sizes;
}

WorkPlan plan_of(std::span<const PromptSize> sizes, std::uint32_t ranks) {
  WorkPlan plan{.ranks = ranks};
  for (const PromptSize& size : sizes) plan.work += size.work();
  return plan;
}

}  // namespace

TEST_CASE("lots are 1/64 of a fair share, at least a prompt, whatever the shard") {
  const auto many = alike(64 * 64 * 3, 1, 10, 10);
  const auto lots = cut_lots({5}, many, plan_of(many, 3));
  CHECK(lots.size() == 64 * 3);
  for (const Lot& lot : lots) {
    CHECK(lot.prompts == 64);
    CHECK(lot.sequences == 64);
    CHECK(lot.work == 64 * 20);
    CHECK(lot.shard == ShardId{5});
    CHECK_FALSE(lot.begun);
  }
  const auto few = alike(256, 1, 10, 10);
  CHECK(cut_lots({0}, few, plan_of(few, 64)).size() == 256);
}

TEST_CASE("every missing sample is in one lot, for random prompts") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    std::uint64_t counter = 0;
    auto draw = [&](std::uint32_t below) { return philox(seed, counter++)[0] % below; };
    std::vector<PromptSize> sizes;
    std::uint64_t prompt = draw(5);
    for (std::uint32_t i = draw(40); i > 0; --i, prompt += 1 + draw(8) / 7)
      sizes.push_back({prompt, 1 + draw(300), 1 + draw(30), draw(200), draw(6) == 0});
    std::map<std::uint64_t, std::uint32_t> covered;
    std::uint64_t end = 0;
    for (const Lot& lot : cut_lots({0}, sizes, plan_of(sizes, 1 + draw(9)))) {
      CHECK(lot.first_prompt + (lot.first_sample > 0 ? 1 : 0) >= end);
      end = lot.first_prompt + lot.prompts;
      std::uint32_t sequences = 0, found = 0;
      bool any_begun = false;
      for (const PromptSize& size : sizes) {
        if (size.prompt < lot.first_prompt || size.prompt >= end) continue;
        if (lot.prompts == 1) CHECK(covered[size.prompt] == lot.first_sample);
        const std::uint32_t mine = lot.prompts == 1 ? lot.sequences : size.samples;
        covered[size.prompt] += mine, sequences += mine, ++found;
        any_begun = any_begun || size.begun;
      }
      CHECK(sequences == lot.sequences);
      CHECK(lot.begun == (any_begun || found < lot.prompts));  // a prompt that is skipped has all its rows
    }
    for (const PromptSize& size : sizes) CHECK(covered[size.prompt] == size.samples);
  }
}

TEST_CASE("a large prompt at the end is cut into samples, each with as many tokens as the prompt") {
  const auto one = alike(1, 1024, 50, 100);
  const auto lots = cut_lots({0}, one, plan_of(one, 8));
  CHECK(lots.size() > 8 * 8);
  for (const Lot& lot : lots) CHECK(lot.sequences * 100 >= 50);
  CHECK(cut_lots({0}, one, plan_of(one, 1)).size() == 1);
  const auto long_prompt = alike(1, 1024, 5000, 100);
  for (const Lot& lot : cut_lots({0}, long_prompt, plan_of(long_prompt, 8))) CHECK(lot.sequences >= 24);
  const auto twelve = alike(12, 8, 10, 100);  // on two ranks, each is a sixth of a share; the last three are cut
  std::set<std::uint64_t> cut;
  for (const Lot& lot : cut_lots({0}, twelve, plan_of(twelve, 2)))
    if (lot.sequences < 8) cut.insert(lot.first_prompt);
  CHECK(cut == std::set<std::uint64_t>{9, 10, 11});
}

TEST_CASE("shards are spread evenly over their keepers") {
  for (std::uint32_t ranks = 1; ranks < 40; ++ranks) {
    for (std::uint32_t shards = 1; shards < 90; ++shards) {
      std::vector<std::uint32_t> kept(ranks);
      for (std::uint32_t s = 0; s < shards; ++s)
        ++kept.at(static_cast<std::size_t>(keeper_of({static_cast<std::int32_t>(s)}, shards, ranks).value));
      for (std::uint32_t count : kept) CHECK((count == shards / ranks || count == shards / ranks + 1));
    }
  }
  CHECK(keeper_of({1}, 4, 64) == WorldRank{16});
}

TEST_CASE("only lots on the list are taken") {
  LotList none;
  CHECK(none.left().empty());
  CHECK_THROWS_AS(none.take(1), ContractViolation);
  CHECK_THROWS_AS(LotList({Lot{}}), ContractViolation);
}
