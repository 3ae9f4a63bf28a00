#include "schedule/facts.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace moemill::schedule {
namespace {

// Prompt rows that always fit beside the most generated rows of any rank, so that every prompt advances.
constexpr std::uint64_t least_prompt_rows = 16;

// A rank's load and what it still wants, updated as shards are dealt.
struct Demand {
  std::uint64_t work_left;
  std::uint64_t sequences;
  std::uint64_t prompt_tokens;
  bool wants() const { return sequences > 0 && prompt_tokens > 0; }
};

std::uint64_t less(std::uint64_t from, std::uint64_t amount) { return from > amount ? from - amount : 0; }

// The rank that takes the next shard: the one with the least work left among those that want a shard and are not above
// the mean of `all_work`; ranks.size() if there is none. The least loaded rank is never above the mean.
std::size_t rank_for_next_shard(std::span<const Demand> ranks, std::uint64_t all_work) {
  std::size_t best = ranks.size();
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    if (!ranks[r].wants() || ranks[r].work_left > all_work / ranks.size()) continue;
    if (best == ranks.size() || ranks[r].work_left < ranks[best].work_left) best = r;
  }
  return best;
}

// Allocates nothing unless a rank asks for a shard and there is one.
std::vector<Claim> deal(std::span<const Facts> facts, const ClaimState& claims) {
  std::vector<Claim> dealt;
  auto wants = [](const Facts& f) { return f.wanted_sequences > 0 && f.wanted_prompt_tokens > 0; };
  if (claims.unclaimed().empty() || std::none_of(facts.begin(), facts.end(), wants)) return dealt;

  std::vector<Demand> ranks;
  std::uint64_t all_work = claims.unclaimed_work();
  for (const Facts& f : facts) {
    ranks.push_back({f.work_left, f.wanted_sequences, f.wanted_prompt_tokens});
    all_work += f.work_left;
  }
  for (const UnclaimedShard& shard : claims.unclaimed()) {
    std::size_t r = rank_for_next_shard(ranks, all_work);
    if (r == ranks.size()) break;
    dealt.push_back({WorldRank{static_cast<std::int32_t>(r)}, shard.shard});
    ranks[r].work_left += shard.work;
    ranks[r].sequences = less(ranks[r].sequences, shard.sequences);
    ranks[r].prompt_tokens = less(ranks[r].prompt_tokens, shard.prompt_tokens);
  }
  return dealt;
}

// Prompt rows that a rank could compute now: those on hand and those of the shards that it is being dealt.
std::uint64_t prompt_rows(std::size_t rank, const Facts& f, const ClaimState& claims, std::span<const Claim> dealt) {
  std::uint64_t rows = f.prompt_rows;
  for (std::size_t c = 0; c < dealt.size(); ++c) {
    if (dealt[c].rank.value != static_cast<std::int32_t>(rank)) continue;
    const UnclaimedShard& shard = claims.unclaimed()[c];
    rows += shard.prompt_tokens * std::min(f.free_slots, shard.sequences) / shard.sequences;
  }
  return std::min<std::uint64_t>(rows, f.free_rows);
}

// The row limit of a step: halfway between the mean and the least number of rows of the ranks that have any.
std::uint32_t level(std::span<const Facts> facts, const ClaimState& claims, std::span<const Claim> dealt) {
  std::uint64_t all = 0, busy = 0, least = UINT64_MAX, most_generated = 0;
  for (std::size_t r = 0; r < facts.size(); ++r) {
    std::uint64_t rows = facts[r].generated_rows + prompt_rows(r, facts[r], claims, dealt);
    if (rows == 0) continue;
    all += rows, ++busy;
    least = std::min(least, rows);
    most_generated = std::max<std::uint64_t>(most_generated, facts[r].generated_rows);
  }
  std::uint64_t middle = busy == 0 ? 0 : (all / busy + least + 1) / 2;
  return static_cast<std::uint32_t>(std::max(middle, most_generated + least_prompt_rows));
}

bool has_work(const Facts& f) { return f.work_left > 0 || f.waiting_prompts > 0 || f.running > 0; }

}  // namespace

ClaimState::ClaimState(std::vector<UnclaimedShard> shards) : shards_(std::move(shards)) {
  for (UnclaimedShard& shard : shards_) {
    // Every shard reduces a rank's demand; otherwise one rank could be dealt any number of empty shards.
    shard.sequences = std::max<std::uint32_t>(shard.sequences, 1);
    shard.work = std::max<std::uint64_t>(shard.work, 1);
    work_ += shard.work;
  }
}

void ClaimState::take(std::size_t count) {
  expect(count <= shards_.size() - next_, "claims: only shards on the list are taken");
  for (; count > 0; --count) work_ -= shards_[next_++].work;
}

Decision decide(std::span<const Facts> facts, const ClaimState& claims) {
  Decision decision;
  Wish wish = Wish::Continue;
  for (std::size_t r = 0; r < facts.size(); ++r) {
    if (facts[r].error != 0) {
      decision.phase = Phase::Failed;
      decision.error = facts[r].error;
      decision.failed_rank = WorldRank{static_cast<std::int32_t>(r)};
      return decision;
    }
    wish = std::max(wish, facts[r].wish);
  }
  if (wish != Wish::Continue) {
    decision.phase = Phase::Drain;
    return decision;
  }

  decision.claims = deal(facts, claims);
  bool prompts = std::any_of(facts.begin(), facts.end(), [](const Facts& f) { return f.prompt_rows > 0; });
  bool work = std::any_of(facts.begin(), facts.end(), has_work) || !claims.unclaimed().empty();
  if (prompts || !decision.claims.empty()) {
    decision.phase = Phase::Prefill;
  } else {
    decision.phase = work ? Phase::Decode : Phase::Finished;
  }
  if (decision.phase == Phase::Prefill) decision.row_limit = level(facts, claims, decision.claims);
  return decision;
}

}  // namespace moemill::schedule
