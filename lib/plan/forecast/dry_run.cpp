#include "plan/forecast/dry_run.hpp"

#include <algorithm>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "schedule/dealer.hpp"

namespace moemill::mill {
namespace {

using schedule::Drawn;
using schedule::LogitPurpose;

// A rank's scheduler. Most steps of a run only continue the sequences that run, each with one row more than it had:
// they are counted here, and the scheduler takes all of them at once before it is asked for anything else. When a
// rank's last samples run, the scheduler has nothing left to decide, and all their steps are counted here.
class DryRank {
 public:
  DryRank(const WorkLengths& work, const schedule::SchedulerSettings& settings)
      : work_(work), drawing_(static_cast<std::size_t>(calibration::drawing_of(work.sampling))), scheduler_(settings) {}

  // Without free_pages, on which no decision depends, and at the end of a rank without what only dealing depends on.
  const schedule::Facts& facts(std::uint32_t steps_ahead);
  // Samples `first` to `first + count` of the prompt.
  void add(std::uint64_t prompt_index, std::uint32_t first, std::uint32_t count);
  // No rank is dealt anything from now on.
  void no_more_lots() { all_dealt_ = true; }
  // What the step holds; valid until the next one.
  const calibration::StepFacts& step(const schedule::Decision& decision);
  std::uint64_t drawn() const { return drawn_; }  // tokens of the last step

 private:
  void plan_step(const schedule::Decision& decision);
  void draw();
  void catch_up();
  void hold_continuing(double context);
  void step_alone();

  // A sample that drew in the last planned step and did not end.
  struct Continuing {
    std::uint32_t left;     // tokens that it still draws
    std::uint64_t context;  // positions that its next row sees
  };

  const WorkLengths& work_;
  const std::size_t drawing_;  // of all samples
  schedule::Scheduler scheduler_;
  std::vector<Drawn> ends_;  // of the samples that drew
  std::uint64_t drawn_ = 0;
  calibration::StepFacts held_;
  std::vector<Continuing> continuing_;
  double context_ = 0;              // of all of them
  std::uint32_t steps_alike_ = 0;   // from now on, in which they continue and nothing else happens
  std::uint32_t steps_behind_ = 0;  // of them, that the scheduler has yet to take
  std::optional<schedule::Facts> facts_;
  bool all_dealt_ = false;
  std::optional<std::uint32_t> steps_alone_;  // at the end, without the scheduler; samples with fewest tokens left last
};

const schedule::Facts& DryRank::facts(std::uint32_t steps_ahead) {
  if (steps_alone_ || (facts_ && steps_ahead == 0)) return *facts_;
  catch_up();
  facts_ = scheduler_.facts(steps_ahead);
  // What a rank asks for ahead changes with every step. If not all that run drew in the last step, others have started.
  if (steps_ahead > 0 || facts_->running != continuing_.size()) return *facts_;
  const std::uint32_t continues = scheduler_.only_continues();
  if (continues == 0) return *facts_;
  if (all_dealt_ && facts_->waiting_prompts == 0 && continues == UINT32_MAX) {
    steps_alone_ = 0;
    std::sort(continuing_.begin(), continuing_.end(), [](const auto& a, const auto& b) { return a.left > b.left; });
  } else {
    steps_alike_ = continues;
    for (const Continuing& sample : continuing_) steps_alike_ = std::min(steps_alike_, sample.left - 1);
  }
  return *facts_;
}

void DryRank::catch_up() {
  if (steps_behind_ > 0) scheduler_.continue_all(steps_behind_);
  steps_behind_ = steps_alike_ = 0;
  facts_.reset();
}

void DryRank::add(std::uint64_t prompt_index, std::uint32_t first, std::uint32_t count) {
  catch_up();
  const PromptLengths& lengths = work_.prompts[prompt_index];
  if (!scheduler_.fits(lengths.tokens, lengths.max_tokens, count))
    user_error(
        "a prompt of {} tokens with {} new ones does not fit into a rank's KV cache; raise parallel.kv_cache_tokens or "
        "leave it on auto, or ask for fewer ranks",
        lengths.tokens, lengths.max_tokens);
  schedule::PromptWork prompt{prompt_index, {}, work_.sampling, {}, lengths.tokens};
  prompt.params.n = lengths.samples, prompt.params.max_tokens = lengths.max_tokens;
  for (std::uint32_t s = first; s < first + count; ++s) prompt.samples.push_back({s, 0, {}});
  scheduler_.add(std::move(prompt));
}

const calibration::StepFacts& DryRank::step(const schedule::Decision& decision) {
  if (steps_alone_) {
    step_alone();
  } else if (steps_alike_ == 0) {
    plan_step(decision);
  } else {
    hold_continuing(context_ + steps_behind_ * static_cast<double>(continuing_.size()));
    --steps_alike_, ++steps_behind_;
    facts_->work_left -= continuing_.size();
  }
  return held_;
}

void DryRank::hold_continuing(double context) {
  const auto rows = static_cast<double>(continuing_.size());
  held_ = {};
  held_.generated = {rows, context}, held_.drawn[drawing_] = rows;
  drawn_ = continuing_.size();
}

void DryRank::step_alone() {
  hold_continuing(context_);
  const std::uint32_t steps = ++*steps_alone_;
  context_ += static_cast<double>(continuing_.size());
  for (; !continuing_.empty() && continuing_.back().left == steps; continuing_.pop_back())
    context_ -= static_cast<double>(continuing_.back().context + steps);
  facts_->running = facts_->generated_rows = static_cast<std::uint32_t>(continuing_.size());
  facts_->work_left = continuing_.size();  // only whether there is any matters
}

void DryRank::plan_step(const schedule::Decision& decision) {
  catch_up();
  held_ = facts_of(scheduler_, scheduler_.plan_step(decision));
  draw();
  scheduler_.commit(ends_);
}

// The tokens do not matter: a sample ends when it has the length that the work says.
void DryRank::draw() {
  ends_.clear();
  continuing_.clear(), context_ = 0;
  for (const schedule::LogitUse& use : scheduler_.uses()) {
    if (use.purpose != LogitPurpose::Sample) continue;
    const schedule::Sequence& sequence = scheduler_.sequence(use.slot);
    const PromptLengths& lengths = work_.prompts[sequence.prompt->prompt_index];
    const std::uint32_t answer = work_.answers[lengths.first_answer + sequence.sample_index], drawn = use.index + 1;
    ends_.push_back({0, drawn >= answer ? FinishReason::Length : FinishReason::None});
    if (drawn >= answer) continue;
    continuing_.push_back({answer - drawn, std::uint64_t{lengths.tokens} + drawn});
    context_ += lengths.tokens + drawn;
  }
  drawn_ = ends_.size();
}

schedule::LotList lots_of(const WorkLengths& work, const DryRunSettings& settings) {
  std::vector<schedule::PromptSize> prompts;
  schedule::WorkPlan plan{.ranks = settings.ranks};
  for (std::size_t p = 0; p < work.prompts.size(); ++p) {
    const PromptLengths& lengths = work.prompts[p];
    prompts.push_back({p, lengths.tokens, lengths.samples, lengths.max_tokens});
    plan.work += prompts.back().work();
  }
  std::vector<schedule::Lot> lots;
  for (std::uint64_t first = 0; first < prompts.size(); first += settings.shard_prompts) {
    const std::uint64_t count = std::min<std::uint64_t>(settings.shard_prompts, prompts.size() - first);
    const std::span<const schedule::PromptSize> of_shard = std::span(prompts).subspan(first, count);
    const ShardId shard{static_cast<std::int32_t>(first / settings.shard_prompts)};
    const std::vector<schedule::Lot> cut = schedule::cut_lots(shard, of_shard, plan);
    lots.insert(lots.end(), cut.begin(), cut.end());
    for (const schedule::PromptSize& prompt : of_shard) plan.before += prompt.work();
  }
  return schedule::LotList(std::move(lots));
}

void deal(const schedule::Lot& lot, const WorkLengths& work, DryRank& rank) {
  if (lot.prompts == 1) return rank.add(lot.first_prompt, lot.first_sample, lot.sequences);
  for (std::uint64_t p = lot.first_prompt; p < lot.first_prompt + lot.prompts; ++p)
    rank.add(p, 0, work.prompts[p].samples);
}

// All domains, of which one takes a turn at a time, as Mill::run.
class DryJob {
 public:
  DryJob(const WorkLengths& work, const DryRunSettings& settings, const StepWatch& watch);
  DryRunCounts run();

 private:
  struct Domain {
    std::vector<WorldRank> ranks;
    schedule::RoundTrip trip;
    bool is_answered = false;           // by a round since its last report, be it empty
    std::vector<schedule::Round> told;  // rounds that it has not heard of yet
    std::uint64_t rounds = 0;           // that it has heard of
  };
  DryRank& rank(WorldRank number) { return *ranks_[static_cast<std::size_t>(number.value)]; }
  // The domain whose clock is behind comes next; of several the one that has waited longest.
  struct Next {
    double clock;
    std::uint64_t turn;  // when it had its last one, counted over all domains
    std::size_t domain;
    auto operator<=>(const Next&) const = default;
  };
  schedule::Round hear(Domain& domain);
  void decide();
  std::optional<double> take_turn(const Next& now);
  double step(std::size_t number, const schedule::Decision& decision);

  const WorkLengths& work_;
  const StepWatch& watch_;
  schedule::LotList lots_;
  std::vector<std::unique_ptr<DryRank>> ranks_;
  std::vector<Domain> domains_;
  schedule::Dealer dealer_;
  std::vector<schedule::Facts> facts_;
  std::vector<calibration::StepFacts> held_;
  std::set<Next> order_;
  DryRunCounts counts_;
};

DryJob::DryJob(const WorkLengths& work, const DryRunSettings& settings, const StepWatch& watch)
    : work_(work),
      watch_(watch),
      lots_(lots_of(work, settings)),
      domains_(settings.domains()),
      dealer_(settings.ranks) {
  schedule::SchedulerSettings each = settings.scheduler;
  each.max_model_len = work.longest_sequence();
  const std::uint32_t of_domain = settings.ranks_of_domain > 0 ? settings.ranks_of_domain : settings.ranks;
  for (std::uint32_t r = 0; r < settings.ranks; ++r) {
    ranks_.push_back(std::make_unique<DryRank>(work, each));
    domains_[r / of_domain].ranks.push_back({static_cast<std::int32_t>(r)});
  }
}

schedule::Round DryJob::hear(Domain& domain) {
  schedule::Round all;
  for (schedule::Round& round : domain.told) {
    if (round.end) all.end = round.end;
    all.dealt.insert(all.dealt.end(), round.dealt.begin(), round.dealt.end());
  }
  domain.rounds += domain.told.size();
  domain.told.clear();
  return all;
}

// A round of several domains, by the first of them.
void DryJob::decide() {
  const schedule::Round round = dealer_.decide(lots_);
  for (Domain& domain : domains_) domain.is_answered = domain.trip.waits();
  if (round.is_empty()) return;
  lots_.take(round.dealt.size());
  for (Domain& domain : domains_) {
    schedule::Round& part = domain.told.emplace_back();
    part.end = round.end;
    for (const schedule::Dealt& dealt : round.dealt)
      if (std::ranges::binary_search(domain.ranks, dealt.rank)) part.dealt.push_back(dealt);
  }
}

// Returns the domain's clock after its turn, or nothing at the end of the job.
std::optional<double> DryJob::take_turn(const Next& now) {
  Domain& domain = domains_[now.domain];
  const bool several = domains_.size() > 1;
  if (several && now.domain == 0) decide();
  facts_.clear();
  if (!several && lots_.left().empty())
    for (const WorldRank r : domain.ranks) rank(r).no_more_lots();
  for (const WorldRank r : domain.ranks) facts_.push_back(rank(r).facts(several ? domain.trip.steps_ahead() : 0));
  schedule::Round round;
  if (!several) {
    round = decide_round(facts_, lots_);
    lots_.take(round.dealt.size());
  } else {
    if (std::exchange(domain.is_answered, false)) domain.trip.answer();
    if (!domain.trip.waits()) {
      for (std::size_t i = 0; i < facts_.size(); ++i) dealer_.take(domain.ranks[i], facts_[i], domain.rounds);
      domain.trip.report();
    }
    round = hear(domain);
  }
  if (round.end) return std::nullopt;
  for (const auto& [to, lot] : round.dealt) deal(lot, work_, rank(to));
  const schedule::Decision decision = decide_step(round, facts_, domain.ranks);
  if (schedule::takes_a_step(decision.phase)) return now.clock + step(now.domain, decision);
  const auto later = order_.upper_bound({now.clock, UINT64_MAX, 0});
  return later == order_.end() ? now.clock : later->clock;  // nothing changes before another domain's turn
}

double DryJob::step(std::size_t number, const schedule::Decision& decision) {
  held_.clear();
  for (const WorldRank r : domains_[number].ranks) {
    held_.push_back(rank(r).step(decision));
    counts_.prompt_rows += static_cast<std::uint64_t>(held_.back().prompt.rows);
    counts_.generated_tokens += rank(r).drawn();
  }
  ++counts_.steps;
  domains_[number].trip.step();
  return watch_({static_cast<std::uint32_t>(number), decision.phase, held_});
}

DryRunCounts DryJob::run() {
  for (std::size_t d = 0; d < domains_.size(); ++d) order_.insert({0, 0, d});
  for (std::uint64_t turn = 1;; ++turn) {
    const Next now = *order_.begin();
    order_.erase(order_.begin());
    const std::optional<double> clock = take_turn(now);
    if (!clock) return counts_;
    counts_.seconds = std::max(counts_.seconds, *clock);
    order_.insert({*clock, turn, now.domain});
  }
}

}  // namespace

std::uint32_t DryRunSettings::domains() const { return ranks_of_domain == 0 ? 1 : divide_up(ranks, ranks_of_domain); }

WorkLengths fitting(const WorkLengths& work, const DryRunSettings& settings) {
  schedule::SchedulerSettings each = settings.scheduler;
  each.max_model_len = work.longest_sequence();
  const schedule::Scheduler scheduler(each);
  WorkLengths out{work.sampling, {}, {}};
  for (const PromptLengths& prompt : work.prompts)
    if (scheduler.fits(prompt.tokens, prompt.max_tokens, prompt.samples)) out.take(prompt, work);
  return out;
}

DryRunCounts dry_run(const WorkLengths& work, const DryRunSettings& settings, const StepWatch& watch) {
  return DryJob(work, settings, watch).run();
}

}  // namespace moemill::mill
