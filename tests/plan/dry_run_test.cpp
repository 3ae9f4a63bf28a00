// The dry run, which counts steps that only continue sequences without planning them, has the steps of a loop that
// plans each one, on prompts that have their tokens.
#include "plan/forecast/dry_run.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "plan/forecast/step_facts.hpp"
#include "schedule/lots.hpp"

using namespace moemill;
using namespace moemill::mill;
using calibration::StepFacts;

namespace {

using Steps = std::vector<std::vector<StepFacts>>;  // [steps][ranks]

bool same(const StepFacts& a, const StepFacts& b) {
  return a.prompt.rows == b.prompt.rows && a.prompt.positions == b.prompt.positions &&
         a.generated.rows == b.generated.rows && a.generated.positions == b.generated.positions && a.drawn == b.drawn;
}

// One shard and one domain.
std::vector<schedule::Lot> lots_of(const WorkLengths& work, std::uint32_t ranks) {
  std::vector<schedule::PromptSize> prompts;
  schedule::WorkPlan plan{.ranks = ranks};
  for (std::size_t p = 0; p < work.prompts.size(); ++p) {
    prompts.push_back({p, work.prompts[p].tokens, work.prompts[p].samples, work.prompts[p].max_tokens});
    plan.work += prompts.back().work();
  }
  return schedule::cut_lots(ShardId{0}, prompts, plan);
}

void open(const schedule::Lot& lot, const WorkLengths& work, schedule::Scheduler& scheduler) {
  for (std::uint64_t p = lot.first_prompt; p < lot.first_prompt + lot.prompts; ++p) {
    const PromptLengths& lengths = work.prompts[p];
    schedule::PromptWork prompt{p, std::vector<TokenId>(lengths.tokens), work.sampling, {}};
    prompt.params.max_tokens = lengths.max_tokens;
    const std::uint32_t first = lot.prompts == 1 ? lot.first_sample : 0;
    const std::uint32_t count = lot.prompts == 1 ? lot.sequences : lengths.samples;
    for (std::uint32_t s = first; s < first + count; ++s) prompt.samples.push_back({s, 0, {}});
    scheduler.add(std::move(prompt));
  }
}

StepFacts take_step(const schedule::Decision& decision, const WorkLengths& work, schedule::Scheduler& scheduler) {
  const StepFacts held = facts_of(scheduler, scheduler.plan_step(decision));
  std::vector<schedule::Drawn> drawn;
  for (const schedule::LogitUse& use : scheduler.uses()) {
    if (use.purpose != schedule::LogitPurpose::Sample) continue;
    const schedule::Sequence& sequence = scheduler.sequence(use.slot);
    const std::uint64_t first = work.prompts[sequence.prompt->prompt_index].first_answer;
    const bool ends = use.index + 1 >= work.answers[first + sequence.sample_index];
    drawn.push_back({0, ends ? FinishReason::Length : FinishReason::None});
  }
  scheduler.commit(drawn);
  return held;
}

Steps every_step(const WorkLengths& work, const DryRunSettings& settings) {
  schedule::SchedulerSettings each = settings.scheduler;
  each.max_model_len = work.longest_sequence();
  std::vector<std::unique_ptr<schedule::Scheduler>> ranks;
  std::vector<WorldRank> numbers;
  for (std::uint32_t r = 0; r < settings.ranks; ++r) {
    ranks.push_back(std::make_unique<schedule::Scheduler>(each));
    numbers.push_back({static_cast<std::int32_t>(r)});
  }
  schedule::LotList lots(lots_of(work, settings.ranks));
  for (Steps steps;;) {
    std::vector<schedule::Facts> facts;
    for (const auto& rank : ranks) facts.push_back(rank->facts());
    const schedule::Round round = decide_round(facts, lots);
    lots.take(round.dealt.size());
    if (round.end) return steps;
    for (const auto& [to, lot] : round.dealt) open(lot, work, *ranks[static_cast<std::size_t>(to.value)]);
    const schedule::Decision decision = decide_step(round, facts, numbers);
    if (!schedule::takes_a_step(decision.phase)) continue;
    steps.emplace_back();
    for (const auto& rank : ranks) steps.back().push_back(take_step(decision, work, *rank));
  }
}

WorkLengths uneven_work(std::uint32_t prompts, std::uint32_t most_samples) {
  WorkLengths work;
  work.sampling.temperature = 0.5f;
  for (std::uint32_t p = 0; p < prompts; ++p) {
    const std::uint32_t most = 1 + p * 37 % 300;
    work.add(1 + p * 29 % 211, most, 1 + p % most_samples, 1 + p * 13 % most);
  }
  return work;
}

}  // namespace

TEST_CASE("a dry run has the steps of a loop that plans each of them") {
  const schedule::SchedulerSettings full{.max_num_seqs = 8, .max_num_batched_tokens = 128, .pages = 200};
  schedule::SchedulerSettings few_pages = full, window = full, only_window = full;
  few_pages.pages = 20;  // the longest prompt and sample hold nine
  window.window = 100, window.window_pages = 10;
  only_window.pages = 0, only_window.window = 100, only_window.window_pages = 10;
  for (const auto& scheduler : {full, few_pages, window, only_window})
    for (const std::uint32_t ranks : {1u, 3u, 7u})
      for (const std::uint32_t most_samples : {1u, 4u}) {
        CAPTURE(scheduler.pages);
        CAPTURE(scheduler.window);
        CAPTURE(ranks);
        CAPTURE(most_samples);
        const WorkLengths work = uneven_work(120, most_samples);
        const DryRunSettings settings{ranks, work.prompts.size(), scheduler};
        const Steps wanted = every_step(work, settings);
        std::size_t next = 0;
        dry_run(work, settings, [&](const DryStep& step) {
          REQUIRE(next < wanted.size());
          bool all = step.ranks.size() == wanted[next].size();
          for (std::size_t r = 0; all && r < step.ranks.size(); ++r) all = same(step.ranks[r], wanted[next][r]);
          CAPTURE(next);
          REQUIRE(all);
          ++next;
          return 1.0;
        });
        CHECK(next == wanted.size());
      }
}
