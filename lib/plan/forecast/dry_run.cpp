#include "plan/forecast/dry_run.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"

namespace moemill::mill {
namespace {

using schedule::Drawn;
using schedule::LogitPurpose;

class DryRank {
 public:
  DryRank(const WorkLengths& work, const schedule::SchedulerSettings& settings) : work_(work), scheduler_(settings) {}

  schedule::Facts facts() const { return scheduler_.facts(); }
  void add(std::uint64_t prompt_index);
  calibration::StepFacts step(const schedule::Decision& decision);
  std::uint64_t drawn() const { return drawn_.size(); }  // tokens of the last step

 private:
  const WorkLengths& work_;
  schedule::Scheduler scheduler_;
  std::vector<Drawn> drawn_;
};

void DryRank::add(std::uint64_t prompt_index) {
  const PromptLengths& lengths = work_.prompts[prompt_index];
  if (!scheduler_.fits(lengths.tokens, lengths.max_tokens, lengths.samples))
    user_error(
        "a prompt of {} tokens with {} new ones does not fit into a rank's KV cache; raise parallel.kv_cache_tokens or "
        "leave it on auto, or ask for fewer ranks",
        lengths.tokens, lengths.max_tokens);
  schedule::PromptWork prompt{prompt_index, std::vector<TokenId>(lengths.tokens), work_.sampling, {}};
  prompt.params.n = lengths.samples, prompt.params.max_tokens = lengths.max_tokens;
  for (std::uint32_t s = 0; s < lengths.samples; ++s) prompt.samples.push_back({s, 0, {}});
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

schedule::ClaimState shards_of(const WorkLengths& work, std::uint64_t shard_prompts) {
  std::vector<schedule::UnclaimedShard> shards(divide_up(work.prompts.size(), shard_prompts));
  for (std::size_t p = 0; p < work.prompts.size(); ++p) {
    const PromptLengths& prompt = work.prompts[p];
    schedule::UnclaimedShard& shard = shards[p / shard_prompts];
    shard.shard = ShardId{static_cast<std::int32_t>(p / shard_prompts)};
    shard.sequences += prompt.samples, shard.prompt_tokens += prompt.tokens;
    shard.work += prompt.tokens + std::uint64_t{prompt.samples} * prompt.max_tokens;
  }
  return schedule::ClaimState(std::move(shards));
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
  schedule::ClaimState claims = shards_of(work, settings.shard_prompts);
  std::vector<schedule::Facts> facts(settings.ranks);
  std::vector<calibration::StepFacts> held(settings.ranks);
  DryRunCounts counts;
  for (;; ++counts.steps) {
    for (std::size_t r = 0; r < ranks.size(); ++r) facts[r] = ranks[r]->facts();
    const schedule::Decision decision = schedule::decide(facts, claims);
    if (!schedule::takes_a_step(decision.phase)) return counts;
    claims.take(decision.claims.size());
    for (const schedule::Claim& claim : decision.claims) {
      const std::uint64_t first = static_cast<std::uint64_t>(claim.shard.value) * settings.shard_prompts;
      const std::uint64_t last = std::min<std::uint64_t>(first + settings.shard_prompts, work.prompts.size());
      for (std::uint64_t p = first; p < last; ++p) ranks[static_cast<std::size_t>(claim.rank.value)]->add(p);
    }
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      held[r] = ranks[r]->step(decision);
      counts.prompt_rows += static_cast<std::uint64_t>(held[r].prompt.rows);
      counts.generated_tokens += ranks[r]->drawn();
    }
    watch(decision.phase, held);
  }
}

}  // namespace moemill::mill
