// Rounds of two domains of one rank each, without a loop around them: rank 0 answers reports while it has no turn, as
// within a long step of its own.
#include "mill/rounds.hpp"

#include <doctest/doctest.h>

#include <utility>
#include <variant>
#include <vector>

using namespace moemill;
using namespace moemill::mill;

namespace {

schedule::LotList ten_lots() {
  std::vector<schedule::Lot> all(10);
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].prompts = 1, all[i].first_prompt = i;
    all[i].sequences = 4, all[i].prompt_tokens = 20, all[i].work = 40;
  }
  return schedule::LotList(std::move(all));
}

schedule::Facts has_enough() {
  schedule::Facts facts;
  facts.work_left = 1000, facts.running = 1, facts.generated_rows = 1;
  return facts;
}

// Of a rank that wants two of the lots, in the given turn.
schedule::Facts wants_two(std::uint32_t turn) {
  schedule::Facts facts;
  facts.wanted_sequences = 8, facts.wanted_prompt_tokens = 40;
  facts.free_slots = 8 + turn;  // what a leader has said already it does not say again
  return facts;
}

void take_letters(Mail& mail, Rounds& rounds) {
  while (const auto letter = mail.next()) rounds.take(std::get<News>(Mail::read(*letter)));
}

}  // namespace

TEST_CASE("rank 0 answers without a turn of its own, and hears of all its rounds at its next one") {
  run_loopback(2, [](Comm world) {
    const Comm domain = world.split(world.rank(), 0);
    Mail mail(world);
    schedule::LotList left = ten_lots();
    Rounds rounds(world, domain, mail, left);
    const bool answers = world.rank() == 0;
    CHECK(rounds.decides_for_others() == answers);
    std::vector<schedule::Dealt> told;
    const auto take_turn = [&](const schedule::Facts& facts) {
      const StepCounts counts{};
      const schedule::Round round =
          rounds.take_turn(std::span(&facts, 1), std::span(&counts, 1), rounds.has_news(), left);
      left.take(round.dealt.size());
      told.insert(told.end(), round.dealt.begin(), round.dealt.end());
      return round.end;
    };
    if (answers) CHECK(!take_turn(has_enough()));  // a step begins
    for (std::uint32_t turn = 0; turn < 8; ++turn) {
      if (!answers) CHECK(!take_turn(wants_two(turn)));
      world.barrier();
      take_letters(mail, rounds);
      if (answers) rounds.answer();
      world.barrier();
      take_letters(mail, rounds);
      // Every second report is older than the lots that rank 1 has been dealt.
      CHECK(rounds.has_news() == (answers || turn % 2 == 0));
    }
    CHECK(!take_turn(answers ? has_enough() : wants_two(8)));
    REQUIRE(told.size() == 8);
    CHECK(left.left().size() == 2);
    for (std::size_t i = 0; i < told.size(); ++i) {
      CHECK(told[i].rank == WorldRank{1});
      CHECK(told[i].lot.first_prompt == i);
    }
    world.barrier();
    if (answers) {  // an end is decided once
      schedule::Facts stops = has_enough();
      stops.wish = schedule::Wish::Drain;
      CHECK(!take_turn(stops));
      for (int i = 0; i < 3; ++i) rounds.answer();
      CHECK(take_turn(stops) == schedule::Phase::Drain);
    }
    world.barrier();
    take_letters(mail, rounds);
    if (!answers) CHECK(take_turn(wants_two(9)) == schedule::Phase::Drain);
  });
}
