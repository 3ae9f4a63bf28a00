#include "plan/forecast/dry_run.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "base/error.hpp"

namespace moemill::mill {
namespace {

using schedule::Drawn;
using schedule::LogitPurpose;

class DryRank {
 public:
  DryRank(const WorkLengths& work, const schedule::SchedulerSettings& settings) : work_(work), scheduler_(settings) {}

  schedule::Facts facts() const { return scheduler_.facts(); }
  // Samples `first` to `first + count` of the prompt.
  void add(std::uint64_t prompt_index, std::uint32_t first, std::uint32_t count);
  calibration::StepFacts step(const schedule::Decision& decision);
  std::uint64_t drawn() const { return drawn_.size(); }  // tokens of the last step

 private:
  const WorkLengths& work_;
  schedule::Scheduler scheduler_;
  std::vector<Drawn> drawn_;
};

void DryRank::add(std::uint64_t prompt_index, std::uint32_t first, std::uint32_t count) {
  const PromptLengths& lengths = work_.prompts[prompt_index];
  if (!scheduler_.fits(lengths.tokens, lengths.max_tokens, count))
    user_error(
        "a prompt of {} tokens with {} new ones does not fit into a rank's KV cache; raise parallel.kv_cache_tokens or "
        "leave it on auto, or ask for fewer ranks",
        lengths.tokens, lengths.max_tokens);
  schedule::PromptWork prompt{prompt_index, std::vector<TokenId>(lengths.tokens), work_.sampling, {}};
  prompt.params.n = lengths.samples, prompt.params.max_tokens = lengths.max_tokens;
  for (std::uint32_t s = first; s < first + count; ++s) prompt.samples.push_back({s, 0, {}});
  scheduler_.add(std::move(prompt));
}

// The tokens do not matter: a sample ends when it has the length that the work says.
calibration::StepFacts DryRank::step(const schedule::Decision& decision) {
  const schedule::Step& step = scheduler_.plan_step(decision);
  const calibration::StepFacts facts = facts_of(scheduler_, step);
  drawn_.clear();
  for (const schedule::LogitUse& use : scheduler_.uses()) {
    if (use.purpose != LogitPurpose::Sample) continue;
    const schedule::Sequence& sequence = scheduler_.sequence(use.slot);
    const PromptLengths& lengths = work_.prompts[sequence.prompt->prompt_index];
    const bool ends = use.index + 1 >= work_.answers[lengths.first_answer + sequence.sample_index];
    drawn_.push_back({0, ends ? FinishReason::Length : FinishReason::None});
  }
  scheduler_.commit(drawn_);
  return facts;
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

std::uint32_t longest_sequence(const WorkLengths& work) {
  std::uint32_t longest = 1;
  for (const PromptLengths& prompt : work.prompts) longest = std::max(longest, prompt.tokens + prompt.max_tokens);
  return longest;
}

}  // namespace

WorkLengths fitting(const WorkLengths& work, const DryRunSettings& settings) {
  schedule::SchedulerSettings each = settings.scheduler;
  each.max_model_len = longest_sequence(work);
  const schedule::Scheduler scheduler(each);
  WorkLengths out{work.sampling, {}, {}};
  for (const PromptLengths& prompt : work.prompts)
    if (scheduler.fits(prompt.tokens, prompt.max_tokens, prompt.samples)) out.take(prompt, work);
  return out;
}

// As Mill::run: facts, decision, lots, a step.
DryRunCounts dry_run(const WorkLengths& work, const DryRunSettings& settings, const StepWatch& watch) {
  schedule::SchedulerSettings each = settings.scheduler;
  each.max_model_len = longest_sequence(work);
  std::vector<std::unique_ptr<DryRank>> ranks;
  for (std::uint32_t r = 0; r < settings.ranks; ++r) ranks.push_back(std::make_unique<DryRank>(work, each));
  schedule::LotList lots = lots_of(work, settings);
  std::vector<schedule::Facts> facts(settings.ranks);
  std::vector<calibration::StepFacts> held(settings.ranks);
  DryRunCounts counts;
  for (;; ++counts.steps) {
    for (std::size_t r = 0; r < ranks.size(); ++r) facts[r] = ranks[r]->facts();
    const schedule::Decision decision = schedule::decide(facts, lots);
    if (!schedule::takes_a_step(decision.phase)) return counts;
    lots.take(decision.dealt.size());
    for (const auto& [to, lot] : decision.dealt) deal(lot, work, *ranks[static_cast<std::size_t>(to.value)]);
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      held[r] = ranks[r]->step(decision);
      counts.prompt_rows += static_cast<std::uint64_t>(held[r].prompt.rows);
      counts.generated_tokens += ranks[r]->drawn();
    }
    watch(decision.phase, held);
  }
}

}  // namespace moemill::mill
