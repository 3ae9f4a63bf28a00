#include "schedule/facts.hpp"

#include <algorithm>
#include <tuple>

namespace moemill::schedule {
namespace {

// Prompt rows that always fit beside the most generated rows of any rank, so that every prompt advances.
constexpr std::uint64_t least_prompt_rows = 16;

// A rank's load and what it still wants, updated as lots are dealt.
struct Demand {
  std::uint64_t work_left;
  std::uint64_t sequences;
  std::uint64_t prompt_tokens;
  std::size_t rank;
  bool wants() const { return sequences > 0 && prompt_tokens > 0; }
};

std::uint64_t less(std::uint64_t from, std::uint64_t amount) { return from > amount ? from - amount : 0; }
std::uint32_t less32(std::uint32_t from, std::uint64_t amount) {
  return static_cast<std::uint32_t>(less(from, amount));
}

bool wants(const Facts& f) { return f.wanted_sequences > 0 && f.wanted_prompt_tokens > 0; }
std::uint64_t all_work(const Facts& f) { return f.work_left + f.awaited_work; }

// Heap order: the least work left first, then the lowest rank.
bool waits_longer(const Demand& a, const Demand& b) {
  return std::tuple(a.work_left, a.rank) > std::tuple(b.work_left, b.rank);
}

// Each lot goes to the rank with the least work left among those that want a lot, unless that rank is above the mean of
// all work; the least loaded of all ranks never is. Allocates nothing unless a rank asks for a lot and there is one.
std::vector<Dealt> deal(std::span<const Facts> facts, const LotList& lots) {
  std::vector<Dealt> dealt;
  if (lots.left().empty() || std::none_of(facts.begin(), facts.end(), wants)) return dealt;

  std::vector<Demand> ranks;  // a heap of those that want a lot
  std::uint64_t work = lots.work_left();
  for (std::size_t r = 0; r < facts.size(); ++r) {
    const Facts& f = facts[r];
    if (wants(f)) ranks.push_back({all_work(f), f.wanted_sequences, f.wanted_prompt_tokens, r});
    work += all_work(f);
  }
  std::make_heap(ranks.begin(), ranks.end(), waits_longer);
  for (const Lot& lot : lots.left()) {
    if (ranks.empty() || ranks.front().work_left > work / facts.size()) break;
    std::pop_heap(ranks.begin(), ranks.end(), waits_longer);
    Demand& rank = ranks.back();
    dealt.push_back({WorldRank{static_cast<std::int32_t>(rank.rank)}, lot});
    rank.work_left += lot.work;
    rank.sequences = less(rank.sequences, lot.sequences);
    rank.prompt_tokens = less(rank.prompt_tokens, lot.prompt_tokens);
    if (rank.wants()) {
      std::push_heap(ranks.begin(), ranks.end(), waits_longer);
    } else {
      ranks.pop_back();
    }
  }
  return dealt;
}

// Calls body(i, lot) for each lot that ranks[i] can open at once: of others their keepers first tell what is missing.
template <class Body>
void for_new_lots(const Round& round, std::span<const WorldRank> ranks, Body&& body) {
  for (const Dealt& d : round.dealt) {
    const auto found = std::lower_bound(ranks.begin(), ranks.end(), d.rank);
    if (d.lot.begun || found == ranks.end() || *found != d.rank) continue;
    body(static_cast<std::size_t>(found - ranks.begin()), d.lot);
  }
}

// [ranks] prompt rows that a rank could compute now: those on hand and those of the lots that it is being dealt.
std::vector<std::uint64_t> prompt_rows(const Round& round, std::span<const Facts> facts,
                                       std::span<const WorldRank> ranks) {
  std::vector<std::uint64_t> rows(facts.size());
  for (std::size_t r = 0; r < facts.size(); ++r) rows[r] = facts[r].prompt_rows;
  for_new_lots(round, ranks, [&](std::size_t r, const Lot& lot) {
    rows[r] += lot.prompt_tokens * std::min(facts[r].free_slots, lot.sequences) / lot.sequences;
  });
  for (std::size_t r = 0; r < facts.size(); ++r) rows[r] = std::min<std::uint64_t>(rows[r], facts[r].free_rows);
  return rows;
}

// The row limit of a step: halfway between the mean and the least number of rows of the ranks that have any.
std::uint32_t level(std::span<const Facts> facts, const std::vector<std::uint64_t>& prompts) {
  std::uint64_t all = 0, busy = 0, least = UINT64_MAX, most_generated = 0;
  for (std::size_t r = 0; r < facts.size(); ++r) {
    std::uint64_t rows = facts[r].generated_rows + prompts[r];
    if (rows == 0) continue;
    all += rows, ++busy;
    least = std::min(least, rows);
    most_generated = std::max<std::uint64_t>(most_generated, facts[r].generated_rows);
  }
  std::uint64_t middle = busy == 0 ? 0 : (all / busy + least + 1) / 2;
  return static_cast<std::uint32_t>(std::max(middle, most_generated + least_prompt_rows));
}

bool has_sequences(const Facts& f) { return f.work_left > 0 || f.waiting_prompts > 0 || f.running > 0; }
// A rank with shards to write waits for their rows, which may be on their way.
bool has_work(const Facts& f) { return has_sequences(f) || f.awaited_work > 0 || f.unwritten_shards > 0; }
bool sends_much(const Facts& f) { return f.unsent_bytes > most_unsent_bytes; }

Round end(Phase phase, std::size_t rank, std::int32_t error) {
  return {phase, WorldRank{static_cast<std::int32_t>(rank)}, error, {}};
}

}  // namespace

void claim(Facts& facts, const Lot& lot) {
  facts.awaited_work += lot.work;
  facts.wanted_sequences = less32(facts.wanted_sequences, lot.sequences);
  facts.wanted_prompt_tokens = less32(facts.wanted_prompt_tokens, lot.prompt_tokens);
}

Round decide_round(std::span<const Facts> facts, const LotList& lots) {
  std::optional<std::size_t> drains;
  for (std::size_t r = 0; r < facts.size(); ++r) {
    if (facts[r].error != 0) return end(Phase::Failed, r, facts[r].error);
    if (facts[r].wish == Wish::Drain && !drains) drains = r;
  }
  if (drains) return end(Phase::Drain, *drains, 0);
  Round round;
  round.dealt = deal(facts, lots);
  if (lots.left().empty() && std::none_of(facts.begin(), facts.end(), has_work)) round.end = Phase::Finished;
  return round;
}

Decision decide_step(const Round& round, std::span<const Facts> facts, std::span<const WorldRank> ranks) {
  if (round.end) return {*round.end, 0};
  if (std::any_of(facts.begin(), facts.end(), sends_much)) return {Phase::Wait, 0};
  bool prompts = std::any_of(facts.begin(), facts.end(), [](const Facts& f) { return f.prompt_rows > 0; });
  for_new_lots(round, ranks, [&](std::size_t, const Lot&) { prompts = true; });
  if (prompts) return {Phase::Prefill, level(facts, prompt_rows(round, facts, ranks))};
  return {std::any_of(facts.begin(), facts.end(), has_sequences) ? Phase::Decode : Phase::Wait, 0};
}

}  // namespace moemill::schedule
