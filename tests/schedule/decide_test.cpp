#include <doctest/doctest.h>

#include "schedule/facts.hpp"

using namespace moemill;
using namespace moemill::schedule;

namespace {

Facts idle() {
  Facts f;
  f.free_rows = 64, f.free_slots = 8, f.free_pages = 100;
  f.wanted_sequences = 8, f.wanted_prompt_tokens = 128;
  return f;
}

Facts busy(std::uint64_t work_left) {
  Facts f = idle();
  f.work_left = work_left, f.running = 1, f.generated_rows = 1;
  return f;
}

LotList lots(std::size_t count, std::uint32_t sequences, std::uint64_t work) {
  std::vector<Lot> all;
  for (std::size_t i = 0; i < count; ++i) {
    Lot& lot = all.emplace_back();
    lot.prompts = 1, lot.first_prompt = i;
    lot.sequences = sequences, lot.prompt_tokens = work / 2, lot.work = work;
  }
  return LotList(std::move(all));
}

}  // namespace

TEST_CASE("errors come before drains, and the lowest rank speaks") {
  std::vector<Facts> facts(3, idle());
  LotList left = lots(4, 1, 10);
  facts[2].wish = Wish::Drain;
  CHECK(decide(facts, left).phase == Phase::Drain);
  facts[2].error = 2, facts[1].error = 1;
  Decision d = decide(facts, left);
  CHECK(d.phase == Phase::Failed);
  CHECK(d.error == 1);
  CHECK(d.failed_rank == WorldRank{1});
  CHECK(d.dealt.empty());
}

TEST_CASE("lots go to the rank with least work left, ties to the lowest, in the order of the list") {
  std::vector<Facts> facts = {busy(50), busy(10), busy(10)};
  Decision d = decide(facts, lots(3, 8, 100));
  REQUIRE(d.dealt.size() == 3);
  CHECK(d.dealt[0].rank == WorldRank{1});
  CHECK(d.dealt[1].rank == WorldRank{2});
  CHECK(d.dealt[2].rank == WorldRank{0});
  for (std::int32_t s = 0; s < 3; ++s)
    CHECK(d.dealt[static_cast<std::size_t>(s)].lot.first_prompt == static_cast<std::uint64_t>(s));
  CHECK(d.phase == Phase::Prefill);
}

TEST_CASE("no rank takes more than it wants, nor more than its fair share") {
  std::vector<Facts> facts = {busy(10), idle()};
  facts[0].wanted_sequences = 0;
  Decision d = decide(facts, lots(20, 4, 10));
  CHECK(d.dealt.size() == 2);  // two lots of four sequences are the eight that rank 1 wants
  for (const Dealt& one : d.dealt) CHECK(one.rank == WorldRank{1});

  facts = {busy(100), busy(95)};  // mean with the last lot: 102 (rank 0 would be below, but rank 1 comes first)
  d = decide(facts, lots(1, 1, 10));
  REQUIRE(d.dealt.size() == 1);
  CHECK(d.dealt[0].rank == WorldRank{1});
  facts[1].wanted_sequences = 0;  // rank 1 is full for now; rank 0 has 200, far above the mean: the lot waits
  facts[0].work_left = 200;
  d = decide(facts, lots(1, 1, 10));
  CHECK(d.dealt.empty());
  CHECK(d.phase == Phase::Decode);
}

TEST_CASE("lots without work are dealt as well, a few at a time") {
  std::vector<Facts> facts(2, idle());
  LotList left = lots(100, 1, 0);
  int steps = 0;
  for (; !left.left().empty(); ++steps) {
    REQUIRE(steps < 100);
    Decision d = decide(facts, left);
    REQUIRE(!d.dealt.empty());
    CHECK(d.dealt.size() <= 16);
    left.take(d.dealt.size());
  }
  CHECK(left.work_left() == 0);
  CHECK(decide(facts, left).phase == Phase::Finished);
}

TEST_CASE("rows on their way are waited for; too many of them, or a begun lot, are delivered before the step") {
  std::vector<Facts> facts(2);
  facts[1].unwritten_shards = 1;
  CHECK(decide(facts, LotList()).phase == Phase::Decode);
  CHECK_FALSE(decide(facts, LotList()).deliver);
  facts[0].unsent_bytes = most_unsent_bytes + 1;
  CHECK(decide(facts, LotList()).deliver);

  facts = {idle(), idle()};
  Lot begun;
  begun.prompts = begun.sequences = 1, begun.prompt_tokens = begun.work = 10;
  CHECK_FALSE(decide(facts, LotList({begun})).deliver);
  begun.begun = true;
  CHECK(decide(facts, LotList({begun})).deliver);
}

TEST_CASE("the phase follows the rows; prompts are levelled") {
  std::vector<Facts> facts(2);
  facts[0] = busy(10);
  CHECK(decide(facts, LotList()).phase == Phase::Decode);
  facts[1] = busy(500);
  facts[0].generated_rows = 32, facts[1].generated_rows = 30, facts[1].prompt_rows = 1000, facts[1].free_rows = 170;
  Decision d = decide(facts, LotList());
  CHECK(d.phase == Phase::Prefill);
  CHECK(d.row_limit == 74);  // 32 and 200 rows: mean 116, least 32
  facts[0] = Facts();        // a rank without rows does not count
  CHECK(decide(facts, LotList()).row_limit == 200);
  facts[0] = busy(500);
  facts[0].generated_rows = 199;  // prompts always advance
  CHECK(decide(facts, LotList()).row_limit == 215);
}
