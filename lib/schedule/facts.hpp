// What every rank reports at the start of a step, and the decision that all ranks derive from these reports. The mill
// exchanges Facts by one all-gather; decide() is a pure function of them, so all ranks reach the same decision and take
// the same number of steps.
//
// The policy: an error on any rank ends the job; otherwise a drain that any rank asks for does. Lots are dealt as long
// as a rank wants one. The next lot in the list goes to the rank with the least work left (ties: lowest rank) among
// those that want more sequences and are below their fair share of all work left, dealt or not; so near the end no rank
// takes work that would make it finish last. The step is a Prefill step if any rank can compute prompt rows
// (generated rows are computed in it as well, so a finished sequence's slot is refilled at once), otherwise a Decode
// step if any work is left or rows are still on their way to a shard, otherwise the job is finished. All ranks wait for
// the rank with the most rows, so prompt rows are balanced: no rank fills a step beyond halfway between the least and
// the mean of the ranks' rows; the rest is computed in later steps, when other ranks have prompts too.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/ids.hpp"
#include "schedule/lots.hpp"

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
  std::uint32_t wanted_prompt_tokens = 0;  // prompt tokens that it could take soon; 0: it wants no lot
  // Filled in by the mill.
  std::uint32_t unwritten_shards = 0;  // shards that this rank keeps and has begun but not written
  std::uint64_t unsent_bytes = 0;      // of rows on their way to the keepers of their shards
  std::int32_t error = 0;              // exit code if this rank cannot continue, otherwise 0
  Wish wish = Wish::Continue;
};
static_assert(std::is_trivially_copyable_v<Facts>);

// A lot and the rank that it is dealt to.
struct Dealt {
  WorldRank rank;
  Lot lot;
};

// Above this, a rank's rows on their way are received before the next step: a keeper that is slow must not fill the
// memory of the ranks that work for it.
constexpr std::uint64_t most_unsent_bytes = std::uint64_t{64} << 20;

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
  std::vector<Dealt> dealt;     // lots dealt in this step, in the order of the list
  // All rows and letters on their way are received before the step: some are too many, or belong to lots dealt in it.
  bool deliver = false;
  WorldRank failed_rank{-1};  // Failed: the lowest rank that reported an error
  std::int32_t error = 0;     // Failed: the exit code that failed_rank reported
};

// facts[r] is rank r's report. The decision deals the first lots of lots.left(); afterwards every rank calls
// lots.take(decision.dealt.size()).
Decision decide(std::span<const Facts> facts, const LotList& lots);

}  // namespace moemill::schedule
