// Runs the scheduler of all ranks on the lengths of a run: the steps that the run would take and what each of them
// would hold, without weights, tokens or MPI. Expert domains step one after the other, always the one whose clock is
// behind, and hear of rounds as in the loop. In one domain a rank's steps that only continue its sequences are not
// planned one by one; the watch sees them all the same. Pure; used by forecasts, and by whatever else wants a run's
// steps.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "plan/forecast/step_facts.hpp"
#include "plan/forecast/work_lengths.hpp"
#include "schedule/facts.hpp"
#include "schedule/scheduler.hpp"

namespace moemill::mill {

struct DryRunSettings {
  std::uint32_t ranks = 1;
  std::uint64_t shard_prompts = 1;
  schedule::SchedulerSettings scheduler;  // of each rank; max_model_len is set to what the lengths need
  std::uint32_t ranks_of_domain = 0;      // 0: all ranks; the last domain may have fewer

  std::uint32_t domains() const;
};

// A step of a domain; valid until the watch returns.
struct DryStep {
  std::uint32_t domain;
  schedule::Phase phase;
  std::span<const calibration::StepFacts> ranks;  // [domain's ranks] what the step of each held
};
// Called after every step; returns the seconds that the step takes, which only the order of steps of different domains
// depends on.
using StepWatch = std::function<double(const DryStep& step)>;

struct DryRunCounts {
  std::uint64_t steps = 0;  // of all domains
  double seconds = 0;       // until the last domain has ended, as the watch says
  std::uint64_t prompt_rows = 0;
  std::uint64_t generated_tokens = 0;
};

// Without prompts that do not fit into a rank's KV pages.
WorkLengths fitting(const WorkLengths& work, const DryRunSettings& settings);

// UserError if a prompt and its max_tokens do not fit into a rank's KV pages.
DryRunCounts dry_run(const WorkLengths& work, const DryRunSettings& settings, const StepWatch& watch);

}  // namespace moemill::mill
