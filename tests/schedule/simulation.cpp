#include "schedule/simulation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <set>
#include <span>

#include "base/numbers/random.hpp"
#include "schedule/dealer.hpp"
#include "schedule/prefix_order.hpp"
#include "schedule/prefix_plan.hpp"
#include "schedule/simulated_model.hpp"

namespace moemill::schedule::test {
namespace {

// One rank: its scheduler and the tokens in its cache.
struct Rank {
  explicit Rank(const SchedulerSettings& s) : settings(s), scheduler(s) {
    cache[0].assign(s.pages, std::vector<TokenId>(page_tokens, -1));
    cache[1].assign(s.window_pages, std::vector<TokenId>(page_tokens, -1));
  }

  std::uint64_t step(const Decision& decision, Outcome& outcome);

  SchedulerSettings settings;
  Scheduler scheduler;
  std::array<std::vector<std::vector<TokenId>>, page_groups> cache;

 private:
  bool has(std::size_t group) const { return group == 0 ? settings.pages > 0 : settings.window > 0; }
  void check_shape(const Step& step) const;
  void check_pages(const Step& step, const Segment& segment) const;
  TokenId& place(const Step& step, std::size_t group, const Segment& segment, std::uint32_t position);
  std::vector<std::uint64_t> forward(const Step& step);
};

void Rank::check_shape(const Step& step) const {
  REQUIRE(step.rows() <= settings.max_num_batched_tokens);
  REQUIRE(step.segments.size() <= settings.max_num_seqs);
  REQUIRE(step.positions.size() == step.tokens.size());
  REQUIRE(std::is_sorted(step.logit_rows.begin(), step.logit_rows.end()));
  std::uint32_t row = 0;
  bool prompts_began = false;
  for (const Segment& segment : step.segments) {
    REQUIRE(segment.first_row == row);
    REQUIRE(segment.rows > 0);
    row += segment.rows;
    REQUIRE(segment.page_count == pages_for(segment.first_position + segment.rows));
    check_pages(step, segment);
    prompts_began = prompts_began || segment.kind == RowKind::Prompt;
    REQUIRE((segment.kind == RowKind::Prompt) == prompts_began);
  }
  REQUIRE(row == step.rows());
}

// A windowed layer keeps exactly the pages that some row of the segment sees.
void Rank::check_pages(const Step& step, const Segment& segment) const {
  for (std::size_t group = 0; group < page_groups; ++group) {
    if (!has(group)) {
      REQUIRE(step.pages[group].empty());
      continue;
    }
    REQUIRE(segment.first_page + segment.page_count <= step.pages[group].size());
    for (std::uint32_t p = 0; p < segment.page_count; ++p) {
      const std::uint32_t window = group == 0 ? segment.first_position + 1 : settings.window;
      const bool seen = std::uint64_t{p + 1} * page_tokens + window > std::uint64_t{segment.first_position} + 1;
      REQUIRE((step.pages[group][segment.first_page + p].value >= 0) == seen);
    }
  }
}

TokenId& Rank::place(const Step& step, std::size_t group, const Segment& segment, std::uint32_t position) {
  const PageId page = step.pages[group][segment.first_page + position / page_tokens];
  return cache[group].at(static_cast<std::size_t>(page.value))[position % page_tokens];
}

// The hash of the tokens that each row with logits sees.
std::vector<std::uint64_t> Rank::forward(const Step& step) {
  for (const PageCopy& copy : step.copies) {
    auto& pages = cache[static_cast<std::size_t>(copy.group)];
    std::copy_n(pages.at(static_cast<std::size_t>(copy.from.value)).begin(), copy.tokens,
                pages.at(static_cast<std::size_t>(copy.to.value)).begin());
  }
  for (const Segment& s : step.segments) {
    for (std::uint32_t r = 0; r < s.rows; ++r) {
      const std::uint32_t position = s.first_position + r;
      REQUIRE(step.positions[s.first_row + r] == position);
      for (std::size_t group = 0; group < page_groups; ++group)
        if (has(group)) place(step, group, s, position) = step.tokens[s.first_row + r];
    }
  }
  std::vector<std::uint64_t> hashes;
  std::vector<TokenId> windowed;
  for (const Segment& s : step.segments) {
    std::uint64_t hash = 1;
    windowed.clear();
    for (std::uint32_t position = 0; position < s.first_position + s.rows; ++position) {
      if (has(0)) hash = mix(hash, static_cast<std::uint64_t>(place(step, 0, s, position)));
      const bool seen = position + settings.window > s.first_position;
      if (has(1)) windowed.push_back(seen ? place(step, 1, s, position) : -2);
      if (position < s.first_position) continue;
      const std::uint32_t row = s.first_row + position - s.first_position;
      if (std::binary_search(step.logit_rows.begin(), step.logit_rows.end(), row))
        hashes.push_back(sight(hash, windowed, settings));
    }
  }
  REQUIRE(hashes.size() == step.logit_rows.size());
  return hashes;
}

std::uint64_t Rank::step(const Decision& decision, Outcome& outcome) {
  const Step& step = scheduler.plan_step(decision);
  check_shape(step);
  if (decision.phase == Phase::Decode) {
    for (const Segment& s : step.segments) REQUIRE(s.kind == RowKind::Generated);
  }
  for (const Segment& s : step.segments) outcome.prompt_rows += s.kind == RowKind::Prompt ? s.rows : 0;
  std::vector<std::uint64_t> hashes = forward(step);
  std::vector<Drawn> drawn;
  for (const LogitUse& use : scheduler.uses()) {
    const Sequence& sequence = scheduler.sequence(use.slot);
    if (use.purpose == LogitPurpose::PromptLogprob) {
      float& score = sequence.prompt->scores->at(use.index);
      REQUIRE(score == not_scored);  // each once
      score = score_of(hashes[use.logit_index]);
      continue;
    }
    REQUIRE(use.index == sequence.generated.size());
    TokenId token = next_token(hashes[use.logit_index], sequence.seed, use.index);
    drawn.push_back({token, verdict(token, use.index + 1, sequence.prompt->params.max_tokens)});
  }
  std::uint64_t rows = step.rows();
  scheduler.commit(drawn);
  for (SlotId slot : scheduler.finished()) {
    const Sequence& q = scheduler.sequence(slot);
    bool first_time =
        outcome.completions.insert({{q.prompt->prompt_index, q.sample_index}, {q.generated, q.finish}}).second;
    REQUIRE(first_time);
    if (!q.prompt->params.prompt_logprobs) continue;
    std::vector<float> scores(q.prompt->scores->begin() + 1, q.prompt->scores->end());
    REQUIRE(std::ranges::count(scores, not_scored) == 0);
    if (!scores.empty()) outcome.prompt_scores.insert({q.prompt->prompt_index, std::move(scores)});
  }
  return rows;
}

ShardId shard_of(std::size_t prompt, const SimulationSettings& settings) {
  return {static_cast<std::int32_t>(prompt / settings.prompts_a_shard)};
}

PromptSize size_of(std::size_t prompt, const PromptWork& work) {
  return {prompt, work.tokens.size(), static_cast<std::uint32_t>(work.samples.size()), work.params.max_tokens, false};
}

// The prompts that begin like another one by 16 tokens or more, by the tokens of all.
std::vector<BranchPrompt> branches_of(const std::vector<PromptWork>& job, const SimulationSettings& settings) {
  std::vector<std::span<const TokenId>> tokens;
  for (const PromptWork& prompt : job) tokens.push_back(prompt.tokens);
  const PrefixOrder order = order_by_prefix(tokens);
  std::vector<BranchPrompt> branches;
  for (std::size_t place = 0; place < job.size(); ++place) {
    const bool with_next = place + 1 < job.size() && order.shared_tokens[place + 1] >= least_shared_tokens;
    const bool with_last = order.shared_tokens[place] >= least_shared_tokens;
    if (!with_next && !with_last) continue;
    const std::uint32_t p = order.prompts[place];
    branches.push_back({size_of(p, job[p]), shard_of(p, settings), with_last ? order.shared_tokens[place] : 0,
                        with_last ? branches.back().order : p});
  }
  return branches;
}

struct DealtWork {
  PrefixPlan plan;
  std::vector<Lot> lots;
};

DealtWork work_of(const std::vector<PromptWork>& job, const SimulationSettings& settings) {
  WorkPlan plan{.ranks = settings.ranks};
  for (std::size_t p = 0; p < job.size(); ++p) plan.work += size_of(p, job[p]).work();
  DealtWork work;
  if (settings.by_prefix) {
    const std::vector<BranchPrompt> branches = branches_of(job, settings);
    std::vector<PlacedPrompt> places;
    for (const BranchPrompt& one : branches) places.push_back({one.size.prompt, one.size.samples, one.shared_tokens});
    work.plan = PrefixPlan(std::move(places), job.size());
    work.lots = cut_branches(branches, plan, 0);
  }
  for (std::size_t first = 0; first < job.size(); first += settings.prompts_a_shard) {
    std::vector<PromptSize> sizes;
    for (std::size_t p = first; p < std::min<std::size_t>(first + settings.prompts_a_shard, job.size()); ++p) {
      sizes.push_back(size_of(p, job[p]));
      sizes.back().placed = work.plan.has(p);
    }
    for (const Lot& lot : cut_lots(shard_of(first, settings), sizes, plan)) work.lots.push_back(lot);
    for (const PromptSize& size : sizes) plan.before += size.work();
  }
  std::ranges::stable_sort(work.lots, {}, &Lot::order);
  return work;
}

// A lot of some samples of a prompt: only the first of them makes the prompt's scores.
PromptWork part_of(const PromptWork& prompt, const Lot& lot) {
  if (lot.prompts > 1) return prompt;
  PromptWork part = prompt;
  part.samples.assign(prompt.samples.begin() + lot.first_sample,
                      prompt.samples.begin() + lot.first_sample + lot.sequences);
  part.params.prompt_logprobs = part.params.prompt_logprobs && lot.first_sample == 0;
  return part;
}

// The shards that have lots and not all their rows, each at its keeper.
class Keepers {
 public:
  Keepers(const std::vector<PromptWork>& job, const SimulationSettings& settings) : settings_(settings) {
    shards_ = static_cast<std::uint32_t>((job.size() + settings.prompts_a_shard - 1) / settings.prompts_a_shard);
    missing_.resize(shards_);
    for (std::size_t p = 0; p < job.size(); ++p) missing_[p / settings.prompts_a_shard] += job[p].samples.size();
    for (std::size_t p = 0; p < job.size(); ++p) places_[job[p].prompt_index] = p;
  }
  // The keepers among these ranks have been told of the lots.
  void open(const Round& round, const PrefixPlan& plan, std::span<const WorldRank> ranks) {
    auto open = [&](ShardId shard) {
      if (std::ranges::binary_search(ranks, keeper_of(shard, shards_, settings_.ranks)) &&
          missing_[static_cast<std::size_t>(shard.value)] > 0)
        open_.insert(shard);
    };
    for (const auto& [to, lot] : round.dealt) {
      if (!lot.is_placed()) open(lot.shard);
      for (std::size_t i = 0; lot.is_placed() && i < lot.prompts; ++i)
        open(shard_of(plan.of(lot)[i].prompt, settings_));
    }
  }
  void post(const std::map<SampleKey, Completion>& rows) {
    for (const auto& [key, row] : rows) {
      if (!seen_.insert(key).second) continue;
      const std::uint32_t steps =
          settings_.letter_steps == 0 ? 0 : philox(key.first, key.second)[0] % (settings_.letter_steps + 1);
      under_way_.emplace(now_ + steps, key);
    }
  }
  void take_arrived() {
    for (; !under_way_.empty() && under_way_.begin()->first <= now_; under_way_.erase(under_way_.begin())) {
      const std::size_t shard = places_.at(under_way_.begin()->second.first) / settings_.prompts_a_shard;
      const ShardId id{static_cast<std::int32_t>(shard)};
      REQUIRE(missing_[shard] > 0);
      open_.insert(id);  // its keeper may not have been told of the lot
      if (--missing_[shard] == 0) open_.erase(id);
    }
    ++now_;
  }
  // The shards that a rank keeps and knows of.
  std::uint32_t unwritten(WorldRank rank) const {
    return static_cast<std::uint32_t>(std::ranges::count_if(
        open_, [&](ShardId shard) { return keeper_of(shard, shards_, settings_.ranks) == rank; }));
  }
  bool all_written() const {
    return open_.empty() && under_way_.empty() &&
           std::all_of(missing_.begin(), missing_.end(), [](std::uint64_t rows) { return rows == 0; });
  }

 private:
  const SimulationSettings& settings_;
  std::uint32_t shards_ = 0;
  std::vector<std::uint64_t> missing_;           // [shards] rows
  std::map<std::uint64_t, std::size_t> places_;  // of prompts in the job
  std::set<ShardId> open_;
  std::set<SampleKey> seen_;
  std::multimap<std::uint64_t, SampleKey> under_way_;  // by the time of their arrival
  std::uint64_t now_ = 0;
};

// All domains of a job; of one domain a unit of time is a step.
class Job {
 public:
  Job(const std::vector<PromptWork>& job, const SimulationSettings& settings);
  Outcome run();

 private:
  struct Domain {
    std::vector<WorldRank> ranks;
    std::vector<Facts> facts;
    std::vector<Round> told;   // rounds that it has not heard of yet
    std::uint64_t rounds = 0;  // that it has heard of
    std::uint64_t free_at = 0;
    bool has_left = false;
  };
  Rank& rank(WorldRank number) { return *ranks_[static_cast<std::size_t>(number.value)]; }
  void take_turn(std::size_t number);
  Round round_of(std::size_t number);
  void take_lots(Domain& domain, const Round& round);
  std::uint64_t step(Domain& domain, const Decision& decision);

  const std::vector<PromptWork>& job_;
  const SimulationSettings& settings_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::vector<Domain> domains_;
  DealtWork work_;
  LotList lots_;
  std::vector<std::optional<Lot>> last_lots_;  // [ranks]
  Dealer dealer_;
  Keepers keepers_;
  Outcome outcome_;
  std::uint64_t now_ = 0;
  std::uint64_t draws_ = 0;
};

Job::Job(const std::vector<PromptWork>& job, const SimulationSettings& settings)
    : job_(job),
      settings_(settings),
      work_(work_of(job, settings)),
      lots_(work_.lots),
      dealer_(settings.ranks),
      keepers_(job, settings) {
  const std::uint32_t each = settings.ranks_of_domain == 0 ? settings.ranks : settings.ranks_of_domain;
  domains_.resize((settings.ranks + each - 1) / each);
  outcome_.last_busy.assign(settings.ranks, 0);
  last_lots_.resize(settings.ranks);
  outcome_.dealt.resize(settings.ranks);
  outcome_.domain_steps.assign(domains_.size(), 0);
  for (std::uint32_t r = 0; r < settings.ranks; ++r) {
    ranks_.push_back(std::make_unique<Rank>(settings.scheduler));
    domains_[r / each].ranks.push_back({static_cast<std::int32_t>(r)});
  }
}

// As the loop's: rank 0 decides from reports, and then everybody reports what was so before it is told.
Round Job::round_of(std::size_t number) {
  Domain& domain = domains_[number];
  if (domains_.size() == 1) return decide_round(domain.facts, lots_);
  if (number == 0) {
    const Round round = dealer_.decide(lots_);
    if (!round.is_empty())
      for (Domain& one : domains_) one.told.push_back(round);
    lots_.take(round.dealt.size());
  }
  Round all;
  for (std::size_t i = 0; i < domain.ranks.size(); ++i) dealer_.take(domain.ranks[i], domain.facts[i], domain.rounds);
  for (const Round& round : domain.told) {
    all.dealt.insert(all.dealt.end(), round.dealt.begin(), round.dealt.end());
    all.end = round.end;
  }
  domain.rounds += domain.told.size();
  domain.told.clear();
  return all;
}

void Job::take_lots(Domain& domain, const Round& round) {
  keepers_.open(round, work_.plan, domain.ranks);
  for (const auto& [to, lot] : round.dealt) {
    if (!std::ranges::binary_search(domain.ranks, to)) continue;
    for (std::size_t i = 0; i < lot.prompts; ++i) {
      const std::size_t p = lot.is_placed() ? work_.plan.of(lot)[i].prompt : lot.first_prompt + i;
      if (!lot.is_placed() && work_.plan.has(p)) continue;
      outcome_.dealt[static_cast<std::size_t>(to.value)].push_back(p);
      PromptWork part = part_of(job_[p], lot);
      if (part.params.prompt_logprobs)
        part.scores = std::make_shared<std::vector<float>>(part.tokens.size(), not_scored);
      rank(to).scheduler.add(std::move(part));
    }
    if (lot.is_placed()) last_lots_[static_cast<std::size_t>(to.value)] = lot;
  }
  for (const WorldRank r : domain.ranks) {
    const auto& last = last_lots_[static_cast<std::size_t>(r.value)];
    if (!last) continue;
    const Lot* next = lots_.next_placed();
    const std::uint32_t shared = next ? work_.plan.shared_tokens(*last, *next) : 0;
    const auto& tokens = job_[work_.plan.of(*last).back().prompt].tokens;
    rank(r).scheduler.expect_more(std::span(tokens).first(shared));
  }
}

std::uint64_t Job::step(Domain& domain, const Decision& decision) {
  std::uint64_t slowest = 0, all = 0;
  for (const WorldRank r : domain.ranks) {
    const std::uint64_t rows = rank(r).step(decision, outcome_);
    if (rows > 0) outcome_.last_busy[static_cast<std::size_t>(r.value)] = now_;
    if (rows > 0 && now_ == 0) ++outcome_.busy_at_first;
    slowest = std::max(slowest, rows), all += rows;
  }
  outcome_.rows += all, outcome_.slowest_rows += slowest;
  if (domains_.size() == 1) return 1;
  return 1 + philox(draws_++, job_.size())[0] % settings_.longest_step;
}

void Job::take_turn(std::size_t number) {
  Domain& domain = domains_[number];
  domain.facts.clear();
  for (const WorldRank r : domain.ranks) {
    domain.facts.push_back(rank(r).scheduler.facts(settings_.steps_ahead));
    domain.facts.back().unwritten_shards = keepers_.unwritten(r);
  }
  const bool drains = static_cast<std::int64_t>(now_) >= settings_.drain_at_step && settings_.drain_at_step >= 0;
  if (drains && number + 1 == domains_.size()) domain.facts.back().wish = Wish::Drain;
  const Round round = round_of(number);
  const Decision decision = decide_step(round, domain.facts, domain.ranks);
  if (round.end) {
    outcome_.end = *round.end, domain.has_left = true;
    return;
  }
  if (domains_.size() == 1) lots_.take(round.dealt.size());
  take_lots(domain, round);
  const bool steps = takes_a_step(decision.phase);
  domain.free_at = now_ + (steps ? step(domain, decision) : 1);
  outcome_.domain_steps[number] += steps ? 1 : 0;
}

Outcome Job::run() {
  // Every step computes a row or ends a prompt on some rank; including replays and chunks this limit is generous.
  std::uint64_t most_steps = 100 + settings_.letter_steps;
  for (const PromptWork& p : job_) most_steps += 2 + p.work();
  most_steps *= settings_.longest_step;
  for (;; ++now_) {
    REQUIRE(now_ <= most_steps);
    for (std::size_t d = 0; d < domains_.size(); ++d)
      if (!domains_[d].has_left && domains_[d].free_at <= now_) take_turn(d);
    if (std::ranges::all_of(domains_, &Domain::has_left)) break;
    keepers_.post(outcome_.completions);
    keepers_.take_arrived();
  }
  outcome_.steps = now_;
  if (outcome_.end == Phase::Finished) CHECK(keepers_.all_written());
  for (const auto& one : ranks_) {
    outcome_.prompt_rows_again += one->scheduler.prompt_rows_again();
    outcome_.generated_rows_again += one->scheduler.generated_rows_again();
    for (const Partial& partial : one->scheduler.partials()) {
      outcome_.partials[{partial.prompt_index, partial.sample_index}].assign(partial.tokens.begin(),
                                                                             partial.tokens.end());
    }
    if (outcome_.end != Phase::Finished) continue;
    CHECK(one->scheduler.idle());
    outcome_.shared_rows += one->scheduler.shared_rows();
    CHECK(one->scheduler.facts().free_pages == settings_.scheduler.pages + settings_.scheduler.window_pages);
    CHECK(one->scheduler.facts().work_left == 0);
  }
  return std::move(outcome_);
}

}  // namespace

Outcome simulate(const std::vector<PromptWork>& job, const SimulationSettings& settings) {
  return Job(job, settings).run();
}

}  // namespace moemill::schedule::test
