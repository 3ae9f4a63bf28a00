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

ClaimState shards(std::size_t count, std::uint32_t sequences, std::uint64_t work) {
  std::vector<UnclaimedShard> all;
  for (std::size_t s = 0; s < count; ++s)
    all.push_back({ShardId{static_cast<std::int32_t>(s)}, sequences, work / 2, work});
  return ClaimState(std::move(all));
}

}  // namespace

TEST_CASE("errors come before drains, and the lowest rank speaks") {
  std::vector<Facts> facts(3, idle());
  ClaimState claims = shards(4, 1, 10);
  facts[2].wish = Wish::Drain;
  CHECK(decide(facts, claims).phase == Phase::Drain);
  facts[2].error = 2, facts[1].error = 1;
  Decision d = decide(facts, claims);
  CHECK(d.phase == Phase::Failed);
  CHECK(d.error == 1);
  CHECK(d.failed_rank == WorldRank{1});
  CHECK(d.claims.empty());
}

TEST_CASE("shards go to the rank with least work left, ties to the lowest, in the order of the list") {
  std::vector<Facts> facts = {busy(50), busy(10), busy(10)};
  Decision d = decide(facts, shards(3, 8, 100));
  REQUIRE(d.claims.size() == 3);
  CHECK(d.claims[0].rank == WorldRank{1});
  CHECK(d.claims[1].rank == WorldRank{2});
  CHECK(d.claims[2].rank == WorldRank{0});
  for (std::int32_t s = 0; s < 3; ++s) CHECK(d.claims[static_cast<std::size_t>(s)].shard == ShardId{s});
  CHECK(d.phase == Phase::Prefill);
}

TEST_CASE("no rank takes more than it wants, nor more than its fair share") {
  std::vector<Facts> facts = {busy(10), idle()};
  facts[0].wanted_sequences = 0;
  Decision d = decide(facts, shards(20, 4, 10));
  CHECK(d.claims.size() == 2);  // two shards of four sequences are the eight that rank 1 wants
  for (const Claim& claim : d.claims) CHECK(claim.rank == WorldRank{1});

  facts = {busy(100), busy(95)};  // mean with the last shard: 102 (rank 0 would be below, but rank 1 comes first)
  d = decide(facts, shards(1, 1, 10));
  REQUIRE(d.claims.size() == 1);
  CHECK(d.claims[0].rank == WorldRank{1});
  facts[1].wanted_sequences = 0;  // rank 1 is full for now; rank 0 has 200, far above the mean: the shard waits
  facts[0].work_left = 200;
  d = decide(facts, shards(1, 1, 10));
  CHECK(d.claims.empty());
  CHECK(d.phase == Phase::Decode);
}

TEST_CASE("shards without work are dealt as well, a few at a time") {
  std::vector<Facts> facts(2, idle());
  ClaimState claims = shards(100, 0, 0);
  int steps = 0;
  for (; !claims.unclaimed().empty(); ++steps) {
    REQUIRE(steps < 100);
    Decision d = decide(facts, claims);
    REQUIRE(!d.claims.empty());
    CHECK(d.claims.size() <= 16);
    claims.take(d.claims.size());
  }
  CHECK(claims.unclaimed_work() == 0);
  CHECK(decide(facts, claims).phase == Phase::Finished);
}

TEST_CASE("the phase follows the rows; prompts are levelled") {
  std::vector<Facts> facts(2);
  facts[0] = busy(10);
  CHECK(decide(facts, ClaimState()).phase == Phase::Decode);
  facts[1] = busy(500);
  facts[0].generated_rows = 32, facts[1].generated_rows = 30, facts[1].prompt_rows = 1000, facts[1].free_rows = 170;
  Decision d = decide(facts, ClaimState());
  CHECK(d.phase == Phase::Prefill);
  CHECK(d.row_limit == 74);  // 32 and 200 rows: mean 116, least 32
  facts[0] = Facts();        // a rank without rows does not count
  CHECK(decide(facts, ClaimState()).row_limit == 200);
  facts[0] = busy(500);
  facts[0].generated_rows = 199;  // prompts always advance
  CHECK(decide(facts, ClaimState()).row_limit == 215);
}
