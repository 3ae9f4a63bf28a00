// What every rank reports at the start of a step, and the decision that all ranks derive from these reports. The mill
// exchanges Facts by one all-gather; decide() is a pure function of them, so all ranks reach the same decision and take
// the same number of steps.
//
// The policy: an error on any rank ends the job; otherwise a drain that any rank asks for does. Shards are dealt as
// long as a rank wants one. The next shard in the list goes to the rank with the least work left (ties: lowest rank)
// among those that want more sequences and are below their fair share of all work left, claimed or not; so near the end
// no rank takes work that would make it finish last. The step is a Prefill step if any rank can compute prompt rows
// (generated rows are computed in it as well, so a finished sequence's slot is refilled at once), otherwise a Decode
// step if any work is left, otherwise the job is finished. All ranks wait for the rank with the most rows, so prompt
// rows are balanced: no rank fills a step beyond halfway between the least and the mean of the ranks' rows; the rest is
// computed in later steps, when other ranks have prompts too.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/ids.hpp"

namespace moemill::schedule {

enum class Wish : std::uint8_t {
  Continue,
  Drain  // save the sequences in flight and leave with exit code 75
};

struct Facts {
  // Filled in by Scheduler::facts().
  std::uint64_t work_left = 0;  // rows that the prompts on hand may still need (max_tokens stands for the length)
  std::uint32_t waiting_prompts = 0;
  std::uint32_t running = 0;         // sequences that hold pages, including prompts being prefilled
  std::uint32_t generated_rows = 0;  // rows of generated tokens that can be computed now
  std::uint32_t prompt_rows = 0;     // prompt rows that can be computed now; an estimate, 0 only when none can
  std::uint32_t free_rows = 0;       // rows of a step that the generated rows leave free
  std::uint32_t free_slots = 0;
  std::uint32_t free_pages = 0;            // sum over both page groups
  std::uint32_t wanted_sequences = 0;      // sequences that this rank could start soon, beyond those on hand
  std::uint32_t wanted_prompt_tokens = 0;  // prompt tokens that it could take soon; 0: it wants no shard
  // Filled in by the mill.
  std::int32_t error = 0;  // exit code if this rank cannot continue, otherwise 0
  Wish wish = Wish::Continue;
};
static_assert(std::is_trivially_copyable_v<Facts>);

// A shard that no rank has claimed yet. Estimates may be rough, but must be the same on all ranks.
struct UnclaimedShard {
  ShardId shard;
  std::uint32_t sequences = 0;  // samples still to be generated
  std::uint64_t prompt_tokens = 0;
  std::uint64_t work = 0;  // prompt tokens + tokens to generate
};

struct Claim {
  WorldRank rank;
  ShardId shard;
};

// The unfinished shards in the order in which they are dealt. Every rank keeps the same copy.
class ClaimState {
 public:
  ClaimState() = default;
  explicit ClaimState(std::vector<UnclaimedShard> shards);
  std::span<const UnclaimedShard> unclaimed() const { return std::span(shards_).subspan(next_); }
  std::uint64_t unclaimed_work() const { return work_; }
  // Removes the first `count` unclaimed shards, which a Decision dealt out.
  void take(std::size_t count);

 private:
  std::vector<UnclaimedShard> shards_;
  std::size_t next_ = 0;
  std::uint64_t work_ = 0;
};

enum class Phase : std::uint8_t {
  Prefill,   // prompt rows and generated rows
  Decode,    // generated rows only
  Finished,  // no rank has work left
  Drain,     // all ranks save their partial sequences and leave with exit code 75
  Failed     // a rank cannot continue: all ranks leave with `error`
};
constexpr bool takes_a_step(Phase phase) { return phase == Phase::Prefill || phase == Phase::Decode; }

struct Decision {
  Phase phase = Phase::Finished;
  std::uint32_t row_limit = 0;  // Prefill: no rank adds prompt rows beyond this many rows of its step
  std::vector<Claim> claims;    // shards dealt in this step, in the order of the list
  WorldRank failed_rank{-1};    // Failed: the lowest rank that reported an error
  std::int32_t error = 0;       // Failed: the exit code that failed_rank reported
};

// facts[r] is rank r's report. The decision claims the first shards of claims.unclaimed(); afterwards every rank calls
// claims.take(decision.claims.size()).
Decision decide(std::span<const Facts> facts, const ClaimState& claims);

}  // namespace moemill::schedule
