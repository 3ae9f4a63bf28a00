// What every rank says at the start of a step, and what all of them conclude from it. The mill exchanges Facts by one
// all-gather; decide() is a pure function of them, so all ranks conclude the same and take the same number of steps.
//
// The policy. An error ends the job, then a drain, whoever wishes it. Shards are dealt while someone wants
// one: the next shard in the list goes to the rank with the least work left (ties: lowest rank) among those that want
// more sequences and are below their fair share of all work left, claimed or not; so near the end nobody takes what
// would make him last. The step is a Prefill step when any rank can compute prompt rows (generated rows ride along, so
// a finished sequence's place is taken at once), else a Decode step when any work is left, else the job is finished.
// All wait for the rank with most rows, so prompts are levelled: nobody fills a step further than halfway between the
// least and the mean of what the ranks have to compute; the rest comes in later steps, when others have prompts too.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/ids.hpp"

namespace moemill::schedule {

enum class Wish : std::uint8_t {
  GoOn,
  Drain  // save what is in flight and leave, exit 75
};

// Counts since the start of this attempt, of one rank: for the progress line; no decision depends on them.
struct Progress {
  std::uint64_t rows_done = 0;
  std::uint64_t rows_failed = 0;
  std::uint64_t prompts_done = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_prompt_tokens = 0;
  std::uint64_t generated_tokens = 0;
  std::uint64_t decode_step_tokens = 0;
};

struct Facts {
  // Filled in by Scheduler::facts().
  std::uint64_t work_left = 0;  // rows that its prompts on hand may still need (max_tokens is the estimate)
  std::uint32_t waiting_prompts = 0;
  std::uint32_t running = 0;         // sequences that hold pages, prompts being prefilled included
  std::uint32_t generated_rows = 0;  // rows of generated tokens that can be computed now
  std::uint32_t prompt_rows = 0;     // prompt rows that can be computed now; an estimate, 0 only when none can
  std::uint32_t free_rows = 0;       // of a step, beside the generated ones
  std::uint32_t free_slots = 0;
  std::uint32_t free_pages = 0;            // of both groups
  std::uint32_t wanted_sequences = 0;      // how many more it could run soon, and
  std::uint32_t wanted_prompt_tokens = 0;  // how many more prompt tokens it could take soon; 0: wants no shard
  // Filled in by the mill.
  std::int32_t error = 0;  // nonzero: this rank cannot go on; an exit code
  Wish wish = Wish::GoOn;
  Progress progress;
};
static_assert(std::is_trivially_copyable_v<Facts>);

// A shard nobody has claimed yet. Estimates may be rough, but must be the same on all ranks.
struct UnclaimedShard {
  ShardId shard;
  std::uint32_t sequences = 0;  // samples still to make
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
  // Takes the first `count` unclaimed shards off the list: those that a Decision dealt out.
  void take(std::size_t count);

 private:
  std::vector<UnclaimedShard> shards_;
  std::size_t next_ = 0;
  std::uint64_t work_ = 0;
};

enum class Phase : std::uint8_t {
  Prefill,   // prompt rows and generated rows
  Decode,    // generated rows only
  Finished,  // nothing is left anywhere
  Drain,     // agreed: save partial sequences, exit 75
  Failed     // a rank cannot go on: all leave with `error`
};
constexpr bool takes_a_step(Phase phase) { return phase == Phase::Prefill || phase == Phase::Decode; }

struct Decision {
  Phase phase = Phase::Finished;
  std::uint32_t row_limit = 0;  // Prefill: no rank adds prompt rows beyond this many rows of its step
  std::vector<Claim> claims;    // shards dealt in this step, in the order of the list
  std::int32_t error = 0;       // Failed: the code of the lowest rank that reported one,
  WorldRank failed_rank{-1};    // and that rank
};

// facts[r] is rank r's. Claims are of the first shards of claims.unclaimed(): afterwards call
// claims.take(decision.claims.size()) on every rank.
Decision decide(std::span<const Facts> facts, const ClaimState& claims);

}  // namespace moemill::schedule
