#include "mill/mill.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>
#include <variant>

#include "base/clock.hpp"
#include "base/log.hpp"

namespace moemill::mill {
namespace {

// A domain without work looks for letters so often: rarely enough to leave the cores to others, often enough that
// nobody waits for it.
constexpr std::chrono::milliseconds between_looks{1};

}  // namespace

Mill::Mill(MillParts parts, schedule::LotList lots)
    : parts_(parts),
      lots_(std::move(lots)),
      keeper_(parts.world, parts.inputs, parts.unfinished, lots_.left()),
      mail_(parts.world),
      rounds_(parts.world, parts.domain, mail_, lots_),
      states_(static_cast<std::size_t>(parts.domain.size())),
      facts_(states_.size()),
      counts_(states_.size()),
      shares_(states_.size()),
      micro_batches_(parts.micro_batches, static_cast<std::uint32_t>(parts.domain.size())),
      next_flush_(now_seconds() + parts.flush_seconds),
      next_progress_(now_seconds() + parts.progress_seconds) {
  if (rounds_.decides_for_others()) parts_.backend.while_computing([this] { answer_within_step(); });
}

Mill::~Mill() {
  if (rounds_.decides_for_others()) parts_.backend.while_computing({});
}

// Order within a turn: facts before lots, lots before the step that uses them, the step before its rows are sent and
// stored. A fault of one rank waits for the next facts, so that all ranks leave at the same place.
MillEnd Mill::run() {
  for (;;) {
    schedule::Decision decision;
    try {
      decision = agree_on_turn();
    } catch (...) {
      flush_all();  // ranks cannot agree on what fails while they agree: the caller aborts the other ranks
      throw;
    }
    attempt([&] { report_progress(); });
    if (round_.end) return leave();
    attempt([&] { open_shards(); });
    take_lots();
    attempt([&] { open_lots(); });
    if (schedule::takes_a_step(decision.phase)) {
      try {
        take_step(decision);
      } catch (...) {
        flush_all();  // nor in the middle of a step
        throw;
      }
    } else if (!took_letters_) {
      wait_a_little();
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

schedule::Facts Mill::facts() {
  schedule::Facts mine = parts_.generator.facts(states_.front().steps_ahead);
  for (const auto& [key, lot] : unopened_) schedule::claim(mine, lot);
  mine.unwritten_shards = keeper_.unwritten();
  attempt([&] { mine.unsent_bytes = mail_.unsent_bytes(); });
  mine.error = static_cast<std::int32_t>(failure_.code);
  mine.wish = parts_.stop.ask() ? schedule::Wish::Drain : schedule::Wish::Continue;
  return mine;
}

schedule::Decision Mill::agree_on_turn() {
  if (rounds_.lives_by_letters() && mail_.counts().faults > 0) system_error("{}", failure_.text);
  if (rounds_.decides_for_others()) rounds_.answer();
  const RankState state{facts(),
                        step_counts(totals_),
                        parts_.predicted ? parts_.predicted->share() : StepShare{},
                        rounds_.steps_ahead(),
                        rounds_.has_news(),
                        step_time_};
  const double before = now_seconds();
  // gather() would allocate memory at every step.
  parts_.domain.all_gather(std::as_bytes(std::span(&state, 1)), std::as_writable_bytes(std::span(states_)));
  totals_.idle_seconds += now_seconds() - before;
  schedule::StepTime slowest;
  for (std::size_t r = 0; r < states_.size(); ++r) {
    slowest.cover(states_[r].time);
    facts_[r] = states_[r].facts;
    counts_[r] = states_[r].counts;
    shares_[r] = states_[r].step;
  }
  if (parts_.predicted) parts_.predicted->add(shares_);
  totals_.step_rows += step_time_.rows, totals_.busiest_rows += slowest.rows;
  step_time_ = {};
  round_ = rounds_.take_turn(facts_, counts_, states_.front().has_news, lots_);
  schedule::Decision decision = schedule::decide_step(round_, facts_, rounds_.ranks());
  micro_batches_.took(slowest);
  decision.micro_batches = micro_batches_.choose(decision, facts_);
  return decision;
}

// The keeper of a lot that is begun tells the rank that gets it what is there.
void Mill::open_shards() {
  const int rank = parts_.world.rank();
  keeper_.open(round_.dealt);
  for (const auto& [to, lot] : round_.dealt) {
    if (!lot.begun || keeper_.keeper_of(lot.first_prompt) != rank) continue;
    if (to.value == rank) {
      begun_[{lot.first_prompt, lot.first_sample}] = keeper_.begun(lot);
    } else {
      mail_.send(to.value, keeper_.begun(lot));
    }
  }
}

void Mill::take_lots() {
  for (const auto& [to, lot] : round_.dealt)
    if (to.value == parts_.world.rank()) unopened_.try_emplace({lot.first_prompt, lot.first_sample}, lot);
  lots_.take(round_.dealt.size());
}

// Those of which nobody has begun anything, and those of which the keeper has told all. If a keeper fails before, the
// rank is left with lots that it cannot open until the job ends.
void Mill::open_lots() {
  for (auto next = unopened_.begin(); next != unopened_.end();) {
    const auto told = begun_.find(next->first);
    if (next->second.begun && (told == begun_.end() || told->second.parts != BegunLot::Parts::All)) {
      ++next;
      continue;
    }
    const schedule::Lot lot = next->second;
    next = unopened_.erase(next);  // first, because a lot that cannot be opened is not tried again
    std::optional<BegunLot> left;
    if (lot.begun) left = std::move(told->second), begun_.erase(told);
    OpenedLot opened = open_lot(lot, left ? &*left : nullptr, parts_.inputs, parts_.generator);
    for (const auto& row : opened.failed) send_home(row);
    const bool is_later = last_placed_.tokens.empty() || lot.first_place > last_placed_.lot.first_place;
    if (lot.is_placed() && is_later) last_placed_ = {lot, std::move(opened.last_tokens)};
  }
  expect_more();
}

// What this rank's last placed lot has in common with the next one is kept: it may be dealt to this rank.
void Mill::expect_more() {
  if (last_placed_.tokens.empty()) return;
  const auto next = lots_.next_placed();
  const std::uint32_t shared = next ? parts_.inputs.prefixes.shared_tokens(last_placed_.lot, *next) : 0;
  const std::span<const TokenId> tokens = last_placed_.tokens;
  parts_.generator.expect_more(tokens.first(std::min<std::size_t>(shared, tokens.size())));
}

void Mill::take_step(const schedule::Decision& decision) {
  const double before = now_seconds();
  const std::uint64_t tokens_before = parts_.generator.generated_tokens();
  calibration::StepFacts held;
  parts_.generator.step(decision, parts_.predicted ? &held : nullptr);
  last_step_ = now_seconds();
  const double seconds = last_step_ - before;
  if (steps_++ == 0) first_step_ = before;
  rounds_.took_step();
  step_time_ = {seconds, parts_.generator.last_rows()};
  totals_.prompt_tokens = parts_.generator.prompt_tokens();
  totals_.cached_prompt_tokens = parts_.generator.cached_prompt_tokens();
  totals_.prefix_hit_tokens = parts_.generator.prefix_tokens();
  totals_.prefix_shared_tokens = parts_.generator.planned_prefix_tokens();
  totals_.generated_tokens = parts_.generator.generated_tokens();
  totals_.replayed_tokens = parts_.generator.replayed_tokens();
  if (decision.phase == schedule::Phase::Prefill) {
    totals_.prefill_seconds += seconds;
  } else {
    totals_.decode_seconds += seconds;
    totals_.decode_step_tokens += totals_.generated_tokens - tokens_before;
  }
  if (parts_.generator.last_rows() == 0) totals_.idle_seconds += seconds;
  count_tail(seconds);
  if (parts_.predicted) parts_.predicted->take(decision.phase, held, seconds, parts_.backend.totals().exchange);
}

// On rank 0, in the middle of a step: domains of shorter steps do not wait for the end of this one.
void Mill::answer_within_step() {
  if (receive()) attempt([&] { rounds_.answer(); });
}

void Mill::wait_a_little() {
  std::this_thread::sleep_for(between_looks);
  const double seconds = std::chrono::duration<double>(between_looks).count();
  totals_.idle_seconds += seconds;
  count_tail(seconds);
}

// By what this rank reported in this turn.
void Mill::count_tail(double seconds) {
  const schedule::Facts& mine = facts_[static_cast<std::size_t>(parts_.domain.rank())];
  if (!lots_.left().empty() || mine.waiting_prompts > 0 || mine.awaited_work > 0 || mine.free_slots == 0) return;
  totals_.tail_seconds += seconds;
  totals_.tail_sequence_seconds += seconds * mine.running;
  totals_.tail_place_seconds += seconds * (mine.running + mine.free_slots);
}

void Mill::store() {
  const GeneratedRows ended = parts_.generator.take_finished();
  for (const auto& score : ended.scores) send_home(score);  // before its rows
  for (const auto& row : ended.completions) send_home(row);
  mail_.post();
  took_letters_ = receive();
  open_lots();
  keeper_.finish_complete(parts_.layout, parts_.attributes);
  if (now_seconds() < next_flush_) return;
  keeper_.for_open([](KeptShard& shard) { shard.flush(); });
  next_flush_ = now_seconds() + parts_.flush_seconds;
}

// To the keeper of its shard: by mail, unless that is this rank.
template <class Row>
void Mill::send_home(const Row& row) {
  const int keeper = keeper_.keeper_of(row.prompt_index);
  if (keeper == parts_.world.rank()) {
    take(row);
  } else {
    mail_.write(keeper, row);
  }
}

// Takes the letters that have arrived; returns whether there were any. A letter that cannot be stored does not keep the
// next ones from being taken.
bool Mill::receive() {
  for (bool any = false;; any = true) {
    std::optional<std::vector<std::byte>> letter;
    attempt([&] { letter = mail_.next(); });
    if (!letter) return any;
    attempt([&] { open_letter(*letter); });
  }
}

void Mill::open_letter(const std::vector<std::byte>& letter) {
  Mail::Contents contents = Mail::read(letter);
  if (auto* lot = std::get_if<BegunLot>(&contents)) {
    begun_[{lot->first_prompt, lot->first_sample}].add(std::move(*lot));
  } else if (const auto* news = std::get_if<News>(&contents)) {
    rounds_.take(*news);
  } else {
    for (const auto& record : std::get<std::vector<dataset::JournalRecord>>(contents))
      std::visit([&](const auto& row) { take(row); }, record);
  }
}

// Waits until every letter that was sent is received; collective over the world. Nobody sends meanwhile, so the numbers
// of letters say when that is.
void Mill::deliver() {
  attempt([&] { mail_.post(); });
  for (;;) {
    receive();
    std::uint64_t sent = 0, received = 0, faults = 0;
    for (const Mail::Counts& counts : gather(parts_.world, mail_.counts()))
      sent += counts.sent, received += counts.received, faults += counts.faults;
    if (faults > 0) return;
    if (sent == received) break;
  }
  attempt([&] {
    while (mail_.unsent_bytes() > 0) continue;  // received letters leave at once
  });
}

// Saves the finished rows of as many journals as can be written, whatever has failed.
void Mill::flush_all() {
  keeper_.for_open([&](KeptShard& shard) { attempt([&] { shard.flush(); }); });
}

// What is on its way is stored before the ranks part, even if one of them has failed.
MillEnd Mill::leave() {
  const bool finished = round_.end == schedule::Phase::Finished;
  const bool drained = round_.end == schedule::Phase::Drain;
  log::debug("{} steps in {:.3f} s, {:.3f} s of it between them", steps_, last_step_ - first_step_,
             last_step_ - first_step_ - totals_.prefill_seconds - totals_.decode_seconds);
  if (drained) {
    drain_reason_ = agree_on_reason();
    attempt([&] { save_partials(); });
  }
  deliver();
  flush_all();
  if (round_.end == schedule::Phase::Failed) throw_failure_of(round_.rank, round_.error);
  throw_agreed_failure();
  if (drained) attempt([&] { keeper_.finish_complete(parts_.layout, parts_.attributes); });
  keeper_.for_open([&](KeptShard& shard) { attempt([&] { shard.close(); }); });
  throw_agreed_failure();
  if (finished) expect(keeper_.unwritten() == 0, "every shard is written when nothing is left to do");
  return finished ? MillEnd::Finished : MillEnd::Drained;
}

void Mill::throw_failure_of(WorldRank rank, std::int32_t code) const {
  throw AgreedFailure(static_cast<ExitCode>(code),
                      broadcast_text(parts_.world, attribution(parts_.world, failure_), rank.value));
}

// AgreedFailure on all ranks if one of them has failed, with the message of the lowest such rank; collective.
void Mill::throw_agreed_failure() const {
  const std::vector<std::int32_t> codes = gather(parts_.world, static_cast<std::int32_t>(failure_.code));
  const auto failed = std::ranges::find_if(codes, [](std::int32_t code) { return code != 0; });
  if (failed != codes.end()) throw_failure_of({static_cast<std::int32_t>(failed - codes.begin())}, *failed);
}

// That of the first rank that wished to drain.
std::string Mill::agree_on_reason() const {
  return broadcast_text(parts_.world, parts_.stop.ask().value_or(""), round_.rank.value);
}

void Mill::save_partials() {
  if (parts_.stop.ask()) log::warning("stopping early because of {}; saving what is in flight", drain_reason_);
  for (const auto& partial : parts_.generator.partials()) send_home(partial);
}

// On rank 0. The counts are the latest of all ranks; seconds and bytes are this rank's.
Totals Mill::progress_totals() const {
  Totals sum = totals_;
  sum.take(parts_.backend.totals());
  sum.running = 0;
  for (const auto& facts : rounds_.facts()) sum.running += facts.running;
  return with_step_counts(sum, rounds_.counts());
}

void Mill::report_progress() {
  if (!parts_.progress || now_seconds() < next_progress_) return;
  parts_.progress->report(progress_totals());
  next_progress_ = now_seconds() + parts_.progress_seconds;
}

}  // namespace moemill::mill
