#include <doctest/doctest.h>

#include "schedule/dealer.hpp"
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

// The step of a domain that is the whole job.
Decision step_after(const Round& round, const std::vector<Facts>& facts) {
  std::vector<WorldRank> ranks;
  for (std::int32_t r = 0; r < std::ssize(facts); ++r) ranks.push_back({r});
  return decide_step(round, facts, ranks);
}
Decision step_of(const std::vector<Facts>& facts) { return step_after(decide_round(facts, LotList()), facts); }

}  // namespace

TEST_CASE("errors come before drains, and the lowest rank speaks") {
  std::vector<Facts> facts(3, idle());
  LotList left = lots(4, 1, 10);
  facts[2].wish = facts[1].wish = Wish::Drain;
  Round round = decide_round(facts, left);
  CHECK(round.end == Phase::Drain);
  CHECK(round.rank == WorldRank{1});
  CHECK(step_after(round, facts).phase == Phase::Drain);
  facts[2].error = 2, facts[1].error = 1;
  round = decide_round(facts, left);
  CHECK(round.end == Phase::Failed);
  CHECK(round.error == 1);
  CHECK(round.rank == WorldRank{1});
  CHECK(round.dealt.empty());
  CHECK(step_after(round, facts).phase == Phase::Failed);
}

TEST_CASE("lots go to the rank with least work left, ties to the lowest, in the order of the list") {
  std::vector<Facts> facts = {busy(50), busy(10), busy(10)};
  const Round round = decide_round(facts, lots(3, 8, 100));
  REQUIRE(round.dealt.size() == 3);
  CHECK(round.dealt[0].rank == WorldRank{1});
  CHECK(round.dealt[1].rank == WorldRank{2});
  CHECK(round.dealt[2].rank == WorldRank{0});
  for (std::int32_t s = 0; s < 3; ++s)
    CHECK(round.dealt[static_cast<std::size_t>(s)].lot.first_prompt == static_cast<std::uint64_t>(s));
  CHECK(step_after(round, facts).phase == Phase::Prefill);
}

TEST_CASE("no rank takes more than it wants, nor more than its fair share") {
  std::vector<Facts> facts = {busy(10), idle()};
  facts[0].wanted_sequences = 0;
  Round round = decide_round(facts, lots(20, 4, 10));
  CHECK(round.dealt.size() == 2);  // two lots of four sequences are the eight that rank 1 wants
  for (const Dealt& one : round.dealt) CHECK(one.rank == WorldRank{1});

  facts = {busy(100), busy(95)};  // mean with the last lot: 102 (rank 0 would be below, but rank 1 comes first)
  round = decide_round(facts, lots(1, 1, 10));
  REQUIRE(round.dealt.size() == 1);
  CHECK(round.dealt[0].rank == WorldRank{1});
  facts[1].wanted_sequences = 0;  // rank 1 is full for now; rank 0 has 200, far above the mean: the lot waits
  facts[0].work_left = 200;
  round = decide_round(facts, lots(1, 1, 10));
  CHECK(round.is_empty());
  CHECK(step_after(round, facts).phase == Phase::Decode);
}

TEST_CASE("a lot that was dealt and is not on hand yet counts as work, and is not asked for again") {
  std::vector<Facts> facts = {idle(), idle()};
  const LotList left = lots(3, 5, 30);
  claim(facts[0], left.left()[0]);
  CHECK(facts[0].awaited_work == 30);
  CHECK(facts[0].wanted_sequences == 3);
  CHECK(facts[0].wanted_prompt_tokens == 113);
  const Round round = decide_round(facts, left);
  REQUIRE(round.dealt.size() == 3);
  CHECK(round.dealt[0].rank == WorldRank{1});
  CHECK(round.dealt[1].rank == WorldRank{0});
  CHECK(round.dealt[2].rank == WorldRank{1});
  claim(facts[0], left.left()[1]);
  CHECK(facts[0].wanted_sequences == 0);
  CHECK(!decide_round(facts, LotList()).end);  // nobody has anything on hand, but the job goes on
}

TEST_CASE("lots without work are dealt as well, a few at a time") {
  std::vector<Facts> facts(2, idle());
  LotList left = lots(100, 1, 0);
  int steps = 0;
  for (; !left.left().empty(); ++steps) {
    REQUIRE(steps < 100);
    const Round round = decide_round(facts, left);
    REQUIRE(!round.dealt.empty());
    CHECK(round.dealt.size() <= 16);
    left.take(round.dealt.size());
  }
  CHECK(left.work_left() == 0);
  CHECK(decide_round(facts, left).end == Phase::Finished);
}

TEST_CASE("rows on their way are waited for without steps; so are begun lots, until their keepers have spoken") {
  std::vector<Facts> facts(2);
  facts[1].unwritten_shards = 1;
  CHECK(step_of(facts).phase == Phase::Wait);
  facts[0] = busy(10);
  CHECK(step_of(facts).phase == Phase::Decode);
  facts[0].unsent_bytes = most_unsent_bytes + 1;  // no step before some have left
  CHECK(step_of(facts).phase == Phase::Wait);

  facts = {idle(), idle()};
  Lot begun;
  begun.prompts = begun.sequences = 1, begun.prompt_tokens = begun.work = 10;
  CHECK(step_after(decide_round(facts, LotList({begun})), facts).phase == Phase::Prefill);
  begun.begun = true;
  CHECK(step_after(decide_round(facts, LotList({begun})), facts).phase == Phase::Wait);
}

TEST_CASE("the phase follows the rows; prompts are levelled") {
  std::vector<Facts> facts(2);
  facts[0] = busy(10);
  CHECK(step_of(facts).phase == Phase::Decode);
  facts[1] = busy(500);
  facts[0].generated_rows = 32, facts[1].generated_rows = 30, facts[1].prompt_rows = 1000, facts[1].free_rows = 170;
  Decision d = step_of(facts);
  CHECK(d.phase == Phase::Prefill);
  CHECK(d.row_limit == 74);  // 32 and 200 rows: mean 116, least 32
  facts[0] = Facts();        // a rank without rows does not count
  CHECK(step_of(facts).row_limit == 200);
  facts[0] = busy(500);
  facts[0].generated_rows = 199;  // prompts always advance
  CHECK(step_of(facts).row_limit == 215);
}

TEST_CASE("a domain's step follows from its own ranks and the lots that these are dealt") {
  const std::vector<WorldRank> ranks{{1}, {4}};
  std::vector<Facts> facts{busy(10), busy(10)};
  Round round;
  round.dealt = {{WorldRank{0}, lots(1, 1, 10).left()[0]}, {WorldRank{5}, lots(1, 1, 10).left()[0]}};
  CHECK(decide_step(round, facts, ranks).phase == Phase::Decode);
  round.dealt.push_back({WorldRank{4}, lots(1, 1, 100).left()[0]});
  const Decision d = decide_step(round, facts, ranks);
  CHECK(d.phase == Phase::Prefill);
  CHECK(d.row_limit == 17);  // 1 and 51 rows: mean 26, least 1; but a prompt of 16 always advances
}

TEST_CASE("the dealer of several domains deals nothing twice for one wish, however old a report is") {
  Dealer dealer(2);
  LotList left = lots(10, 4, 40);
  dealer.take({1}, idle(), 0);
  CHECK(dealer.decide(left).is_empty());  // rank 0 has not reported
  dealer.take({0}, busy(1000), 0);
  Round round = dealer.decide(left);  // two lots are what rank 1 wants; rank 0 has enough
  CHECK(round.dealt.size() == 2);
  left.take(round.dealt.size());
  CHECK(dealer.rounds() == 1);
  CHECK(dealer.decide(left).is_empty());
  dealer.take({1}, idle(), 0);  // sent before the domain was told
  CHECK(dealer.decide(left).is_empty());
  CHECK(dealer.rounds() == 1);
  Facts later = idle();
  later.work_left = 40, later.wanted_sequences = 4;  // it has heard, and has done half of it
  dealer.take({1}, later, 1);
  dealer.take({0}, idle(), 1);
  round = dealer.decide(left);
  REQUIRE(round.dealt.size() == 3);
  CHECK(round.dealt[0].rank == WorldRank{0});
  CHECK(round.dealt[1].rank == WorldRank{0});
  CHECK(round.dealt[2].rank == WorldRank{1});
}

TEST_CASE("a job of several domains is finished when all have said so after the last lot was dealt") {
  Dealer dealer(3);
  LotList left = lots(1, 8, 40);
  for (std::int32_t r = 0; r < 3; ++r) dealer.take({r}, idle(), 0);
  left.take(dealer.decide(left).dealt.size());
  CHECK(left.left().empty());
  for (std::int32_t r = 0; r < 2; ++r) dealer.take({r}, idle(), 1);
  CHECK(dealer.decide(left).is_empty());  // it may keep the lot's shard and not know it
  Facts keeper = idle();
  keeper.unwritten_shards = 1;
  dealer.take({2}, keeper, 1);
  CHECK(dealer.decide(left).is_empty());
  dealer.take({2}, idle(), 1);
  CHECK(dealer.decide(left).end == Phase::Finished);
}

TEST_CASE("a call to stop is heard from any report") {
  Dealer dealer(2);
  Facts calls = idle();
  calls.wish = Wish::Drain;
  dealer.take({1}, calls, 0);
  CHECK(dealer.decide(lots(1, 1, 1)).end == Phase::Drain);
  calls.error = 1;
  dealer.take({1}, calls, 0);
  const Round round = dealer.decide(lots(1, 1, 1));
  CHECK(round.end == Phase::Failed);
  CHECK(round.rank == WorldRank{1});
}
