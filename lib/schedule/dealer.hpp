// What rank 0 knows of a job of several expert domains, whose reports come when each domain has a moment, and the
// rounds that follow from it. Used by the loop on rank 0, by the dry run and by simulations.
//
// A round is never waited for: rank 0 decides from the latest report of each rank. A report may be older than the last
// rounds, so it says how many of them its domain had been told; lots of later ones are claims, which the dealer adds to
// what the rank reported. So nothing is dealt twice for one wish, and a job is finished only if every rank has reported
// after the last lot was dealt: then no rank can have work again, whatever has happened since. Nothing is dealt before
// all have reported once, so that all begin together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "schedule/facts.hpp"

namespace moemill::schedule {

class Dealer {
 public:
  explicit Dealer(std::size_t ranks) : facts_(ranks), told_(ranks, unknown), claims_(ranks) {}

  // The report of a rank whose domain had been told the first `told` rounds.
  void take(WorldRank rank, const Facts& facts, std::uint64_t told);
  // The next round, which counts if it is not empty.
  Round decide(const LotList& lots);
  std::uint64_t rounds() const { return static_cast<std::uint64_t>(rounds_); }

 private:
  static constexpr std::int64_t unknown = -1;

  std::vector<Facts> facts_;                                       // [ranks] with the claims
  std::vector<std::int64_t> told_;                                 // [ranks]
  std::vector<std::vector<std::pair<std::int64_t, Lot>>> claims_;  // [ranks] round and lot
  std::int64_t rounds_ = 0;
};

// How many steps a domain takes from a report to the round that answers it. Its ranks ask for what they will start
// meanwhile, so that they do not run out of work while rank 0 is in a step that is longer than theirs.
class RoundTrip {
 public:
  void step() { ++steps_; }
  void report() { reported_ = steps_, waits_ = true; }
  void answer() {
    longest_ = std::max(steps_ - reported_, longest_ - longest_ / 4);
    waits_ = false;
  }
  bool waits() const { return waits_; }
  // Twice the longest of late: what changes just behind a report waits for the next one.
  std::uint32_t steps_ahead() const {
    return static_cast<std::uint32_t>(2 * std::max(longest_, waits_ ? steps_ - reported_ : 0));
  }

 private:
  std::uint64_t steps_ = 0, reported_ = 0, longest_ = 1;
  bool waits_ = false;
};

}  // namespace moemill::schedule
