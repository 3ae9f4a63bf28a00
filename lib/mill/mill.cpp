#include "mill/mill.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "base/log.hpp"

namespace moemill::mill {

Mill::Mill(MillParts parts, schedule::ClaimState claims)
    : parts_(parts),
      claims_(std::move(claims)),
      states_(static_cast<std::size_t>(parts.world.size())),
      facts_(states_.size()),
      counts_(states_.size()),
      shares_(states_.size()),
      next_flush_(now_seconds() + parts.flush_seconds),
      next_progress_(now_seconds() + parts.progress_seconds) {}

// Order within a turn: facts before claims, claims before the step that uses them, the step before its rows are stored.
// A fault of one rank waits for the next facts, so that all ranks leave at the same place.
MillEnd Mill::run() {
  for (;;) {
    const schedule::Decision decision = agree_on_step();
    attempt([&] { report_progress(); });
    if (!schedule::takes_a_step(decision.phase)) return leave(decision);
    attempt([&] { open(decision.claims); });
    claims_.take(decision.claims.size());
    try {
      take_step(decision);
    } catch (...) {
      flush_all();  // ranks cannot agree in the middle of a step: the caller aborts the other ranks
      throw;
    }
    attempt([&] { store(); });
  }
}

// Keeps the first fault; later ones are its consequences.
template <class Work>
void Mill::attempt(Work&& work) {
  try {
    work();
  } catch (...) {
    if (failure_.code == ExitCode::Done) failure_ = describe_current_exception();
  }
}

schedule::Decision Mill::agree_on_step() {
  schedule::Facts mine = parts_.generator.facts();
  mine.error = static_cast<std::int32_t>(failure_.code);
  mine.wish = parts_.stop.ask() ? schedule::Wish::Drain : schedule::Wish::Continue;
  const RankState state{mine, step_counts(totals_), parts_.predicted ? parts_.predicted->share() : StepShare{}};
  const double before = now_seconds();
  // gather() would allocate memory at every step.
  parts_.world.all_gather(std::as_bytes(std::span(&state, 1)), std::as_writable_bytes(std::span(states_)));
  totals_.idle_seconds += now_seconds() - before;
  for (std::size_t r = 0; r < states_.size(); ++r) {
    facts_[r] = states_[r].facts;
    counts_[r] = states_[r].counts;
    shares_[r] = states_[r].step;
  }
  if (parts_.predicted) parts_.predicted->add(shares_);
  return schedule::decide(facts_, claims_);
}

void Mill::open(std::span<const schedule::Claim> claims) {
  for (const auto& claim : claims)
    if (claim.rank.value == parts_.world.rank())
      open_.push_back(std::make_unique<OpenShard>(claim.shard, parts_.inputs, parts_.generator, totals_));
}

void Mill::take_step(const schedule::Decision& decision) {
  const double before = now_seconds();
  const std::uint64_t tokens_before = parts_.generator.generated_tokens();
  parts_.generator.step(decision);
  const double seconds = now_seconds() - before;
  totals_.prompt_tokens = parts_.generator.prompt_tokens();
  totals_.cached_prompt_tokens = parts_.generator.cached_prompt_tokens();
  totals_.generated_tokens = parts_.generator.generated_tokens();
  if (decision.phase == schedule::Phase::Prefill) {
    totals_.prefill_seconds += seconds;
  } else {
    totals_.decode_seconds += seconds;
    totals_.decode_step_tokens += totals_.generated_tokens - tokens_before;
  }
  if (parts_.generator.last_rows() == 0) totals_.idle_seconds += seconds;
  if (parts_.predicted)
    parts_.predicted->take(decision.phase, parts_.generator.last_facts(), seconds,
                           parts_.backend.totals().exchange.seconds);
}

void Mill::store() {
  GeneratedRows ended = parts_.generator.take_finished();
  for (auto& score : ended.scores) shard_of(score.prompt_index).take(std::move(score));
  for (auto& row : ended.completions) shard_of(row.prompt_index).take(std::move(row), totals_);
  for (auto shard = open_.begin(); shard != open_.end();) {
    if (!(*shard)->complete()) {
      ++shard;
      continue;
    }
    (*shard)->finish(parts_.inputs, parts_.layout, parts_.attributes);
    shard = open_.erase(shard);  // immediately: if the next shard cannot be written, only open shards may be left here
  }
  if (now_seconds() < next_flush_) return;
  for (auto& shard : open_) shard->flush();
  next_flush_ = now_seconds() + parts_.flush_seconds;
}

// Saves the finished rows of as many journals as can be written, whatever has failed.
void Mill::flush_all() {
  for (auto& shard : open_) attempt([&] { shard->flush(); });
}

OpenShard& Mill::shard_of(std::uint64_t prompt_index) {
  for (auto& shard : open_) {
    const auto range = shard->range();
    if (prompt_index >= range.first && prompt_index < range.first + range.count) return *shard;
  }
  throw ContractViolation("broken invariant: a finished row belongs to an open shard");
}

MillEnd Mill::leave(const schedule::Decision& decision) {
  if (decision.phase == schedule::Phase::Failed) {
    flush_all();
    throw AgreedFailure(static_cast<ExitCode>(decision.error),
                        broadcast_text(parts_.world, attribution(parts_.world, failure_), decision.failed_rank.value));
  }
  const bool finished = decision.phase == schedule::Phase::Finished;
  if (!finished) drain_reason_ = agree_on_reason();
  run_on_all_ranks(parts_.world, [&] {
    if (!finished) save_partials();
    for (auto& shard : open_) shard->close();
  });
  if (finished) expect(open_.empty(), "every shard is written when nothing is left to do");
  return finished ? MillEnd::Finished : MillEnd::Drained;
}

// The reason of the first rank that wished to drain.
std::string Mill::agree_on_reason() const {
  std::size_t rank = 0;
  while (rank + 1 < facts_.size() && facts_[rank].wish != schedule::Wish::Drain) ++rank;
  return broadcast_text(parts_.world, parts_.stop.ask().value_or(""), static_cast<int>(rank));
}

void Mill::save_partials() {
  if (parts_.stop.ask()) log::warning("stopping early because of {}; saving what is in flight", drain_reason_);
  for (const auto& partial : parts_.generator.partials()) shard_of(partial.prompt_index).take(partial);
}

// The counts are those of all ranks, which came with the facts; seconds and bytes are this rank's.
Totals Mill::progress_totals() const {
  Totals sum = totals_;
  sum.take(parts_.backend.totals());
  sum.running = 0;
  for (const auto& facts : facts_) sum.running += facts.running;
  return with_step_counts(sum, counts_);
}

void Mill::report_progress() {
  if (!parts_.progress || now_seconds() < next_progress_) return;
  parts_.progress->report(progress_totals());
  next_progress_ = now_seconds() + parts_.progress_seconds;
}

}  // namespace moemill::mill
