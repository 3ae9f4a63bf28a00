#include "schedule/dealer.hpp"

#include <algorithm>

namespace moemill::schedule {

void Dealer::take(WorldRank rank, const Facts& facts, std::uint64_t told) {
  const auto r = static_cast<std::size_t>(rank.value);
  told_[r] = static_cast<std::int64_t>(told);
  facts_[r] = facts;
  std::erase_if(claims_[r], [&](const auto& claimed) { return claimed.first <= told_[r]; });
  for (const auto& [round, lot] : claims_[r]) claim(facts_[r], lot);
}

Round Dealer::decide(const LotList& lots) {
  const auto all_know = [&](std::int64_t round) {
    return std::all_of(told_.begin(), told_.end(), [&](std::int64_t told) { return told >= round; });
  };
  Round round = decide_round(facts_, lots);
  if (!all_know(0)) round.dealt.clear();
  if (round.end == Phase::Finished && !all_know(rounds_)) round.end.reset();
  if (round.is_empty()) return round;
  ++rounds_;
  for (const auto& [rank, lot] : round.dealt) {
    const auto r = static_cast<std::size_t>(rank.value);
    claims_[r].emplace_back(rounds_, lot);
    claim(facts_[r], lot);
  }
  return round;
}

}  // namespace moemill::schedule
