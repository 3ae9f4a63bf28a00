// How the ranks of several expert domains are told what is decided for the whole job. In each turn every domain's
// leader, its lowest rank, may send the domain's facts to rank 0, which decides the next round from the latest facts of
// all domains (schedule/dealer.hpp) and sends it to all leaders; a leader tells its domain at its next turn. All of
// this is letters: nobody waits for one, so no domain waits for another. Rank 0 answers while it computes a step, too.
// Every rank is told every round once and in the order in which they were decided, and so keeps the same list of lots.
// With one domain there are no letters: every rank decides a round in every turn from the facts that it has anyway.
// Used by the loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "mill/mail.hpp"
#include "mill/totals.hpp"
#include "schedule/dealer.hpp"
#include "schedule/facts.hpp"
#include "schedule/lots.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

class Rounds {
 public:
  // Collective over the world. The ranks of `domain` have the order that they have in the world.
  Rounds(const Comm& world, const Comm& domain, Mail& mail, const schedule::LotList& lots);

  // The domain's ranks in the world, in ascending order.
  std::span<const WorldRank> ranks() const { return ranks_; }
  // Whether this rank hears of rounds by letters, so that it cannot go on without them.
  bool lives_by_letters() const { return domains_ > 1 && domain_.rank() == 0; }

  // Rank 0 of several domains: it decides for the others.
  bool decides_for_others() const { return !others_.empty(); }

  // On such a rank, at any time: decides the next round from the latest reports and answers those that wait.
  void answer();
  // At the start of a turn, before the domain's facts are gathered: whether this rank, as the leader, has rounds to
  // tell.
  bool has_news() const { return !news_.empty(); }
  // What the domain is told in this turn, as one round, or an empty one. `facts` and `counts` [domain's ranks] were
  // gathered in this turn, `news` is what has_news() said on the leader. `lots` are those that the domain knows as
  // left. Collective over the domain.
  schedule::Round take_turn(std::span<const schedule::Facts> facts, std::span<const StepCounts> counts, bool news,
                            const schedule::LotList& lots);
  // After a step of the domain.
  void took_step() { trip_.step(); }
  // On a leader: for how many steps its domain's ranks should ask for work; 0 with one domain.
  std::uint32_t steps_ahead() const { return lives_by_letters() ? trip_.steps_ahead() : 0; }
  // A letter of rank 0 to a leader, or of a leader to rank 0.
  void take(const News& letter);

  // On rank 0: the latest of all ranks [world].
  std::span<const schedule::Facts> facts() const { return facts_; }
  std::span<const StepCounts> counts() const { return counts_; }

 private:
  struct Domain {  // as rank 0 knows the others
    int leader = 0;
    std::vector<WorldRank> ranks;
    bool waits_for_answer = false;
  };
  schedule::Round read(std::span<const std::byte> bytes, const schedule::LotList& lots);
  void report(std::span<const schedule::Facts> facts, std::span<const StepCounts> counts);
  void keep(std::span<const WorldRank> ranks, std::span<const schedule::Facts> facts,
            std::span<const StepCounts> counts, std::uint64_t told);

  const Comm& world_;
  const Comm& domain_;
  Mail& mail_;
  std::size_t domains_ = 1;
  std::vector<WorldRank> ranks_;  // [domain size]
  std::uint64_t told_ = 0;        // rounds that the domain has been told
  std::vector<std::byte> news_;   // on a leader: rounds to tell, one behind the other

  // A leader's last report.
  std::vector<schedule::Facts> reported_facts_;
  std::vector<StepCounts> reported_counts_;
  std::uint64_t reported_told_ = 0;
  schedule::RoundTrip trip_;
  bool has_called_ = false;  // an error or a wish was reported, which waits for nothing

  // On rank 0.
  schedule::Dealer dealer_;
  schedule::LotList undealt_;  // this domain's list still has what it has not been told of
  bool has_ended_ = false;     // the last round is decided
  std::vector<Domain> others_;
  std::vector<schedule::Facts> facts_;  // [world]
  std::vector<StepCounts> counts_;      // [world]
};

}  // namespace moemill::mill
