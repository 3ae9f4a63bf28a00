// What every rank reports at the start of a step, and what follows from the reports. Two decisions, both pure functions
// of Facts: a round is about the whole job, a step about one expert domain, whose ranks compute together. Where one
// domain is the whole job, both are made in every step from the same facts; with several domains rank 0 makes the
// rounds (dealer.hpp), and no domain waits for another.
//
// A round: an error on any rank ends the job; otherwise a drain that any rank asks for does. Lots are dealt as long
// as a rank wants one. The next lot in the list goes to the rank with the least work left (ties: lowest rank) among
// those that want more sequences and are below their fair share of all work left, dealt or not; so near the end no rank
// takes work that would make it finish last. The job is finished if no lot, no work and no shard is left anywhere.
//
// A step is a Prefill step if any rank of the domain can compute prompt rows (generated rows are computed in it as
// well, so a finished sequence's slot is refilled at once), otherwise a Decode step if any rank has sequences.
// Otherwise the domain waits for a turn: for rounds, or for letters that are on their way. All ranks wait for the rank
// with the most rows, so prompt rows are balanced: no rank fills a step beyond halfway between the least and the mean
// of the ranks' rows; the rest is computed in later steps, when other ranks have prompts too.
#pragma once

#include <cstdint>
#include <optional>
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
  std::uint64_t awaited_work = 0;      // of lots that were dealt to this rank and that it does not have yet
  std::uint32_t unwritten_shards = 0;  // shards that this rank keeps and has begun but not written
  std::uint64_t unsent_bytes = 0;      // of rows on their way to the keepers of their shards
  std::int32_t error = 0;              // exit code if this rank cannot continue, otherwise 0
  Wish wish = Wish::Continue;

  friend bool operator==(const Facts&, const Facts&) = default;
};
static_assert(std::is_trivially_copyable_v<Facts>);

// Counts a lot that was dealt to the rank and is not on hand: as work, and as so much less that it asks for.
void claim(Facts& facts, const Lot& lot);

// A lot and the rank that it is dealt to.
struct Dealt {
  WorldRank rank;
  Lot lot;
};

// Above this, a rank's domain takes no step until its rows on their way are received: a keeper that is slow must not
// fill the memory of the ranks that work for it.
constexpr std::uint64_t most_unsent_bytes = std::uint64_t{64} << 20;

enum class Phase : std::uint8_t {
  Prefill,   // prompt rows and generated rows
  Decode,    // generated rows only
  Wait,      // no step: nothing to compute at the moment, or too much on its way
  Finished,  // no rank has work left
  Drain,     // all ranks save their partial sequences and leave with exit code 75
  Failed     // a rank cannot continue: all ranks leave with `error`
};
constexpr bool takes_a_step(Phase phase) { return phase == Phase::Prefill || phase == Phase::Decode; }

// What is decided for the whole job.
struct Round {
  std::optional<Phase> end;  // Finished, Drain or Failed: all ranks leave
  WorldRank rank{-1};        // Drain, Failed: the lowest rank that asked for it
  std::int32_t error = 0;    // Failed: the exit code that `rank` reported
  std::vector<Dealt> dealt;  // in the order of the list

  bool is_empty() const { return !end && dealt.empty(); }
};
// facts[r] is rank r's report. The round deals the first lots of lots.left(); afterwards whoever keeps the list calls
// lots.take(round.dealt.size()).
Round decide_round(std::span<const Facts> facts, const LotList& lots);

// What the ranks of a domain do next.
struct Decision {
  Phase phase = Phase::Finished;
  std::uint32_t row_limit = 0;      // Prefill: no rank adds prompt rows beyond this many rows of its step
  std::uint32_t micro_batches = 1;  // of the step, 1 or 2: filled in by MicroBatchRule
};
// facts[i] is the report of ranks[i], the domain's ranks in ascending order; `round` is what the domain is told in this
// step, after these reports.
Decision decide_step(const Round& round, std::span<const Facts> facts, std::span<const WorldRank> ranks);

}  // namespace moemill::schedule
