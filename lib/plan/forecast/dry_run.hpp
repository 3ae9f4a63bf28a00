// Runs the scheduler of all ranks on the lengths of a run: the steps that the run would take and what each of them
// would hold, without weights, tokens or MPI. Pure; used by forecasts, and by whatever else wants a run's steps.
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
};

// Called after every step with what the step of each rank held [ranks], valid until it returns.
using StepWatch = std::function<void(schedule::Phase phase, std::span<const calibration::StepFacts> ranks)>;

struct DryRunCounts {
  std::uint64_t steps = 0;
  std::uint64_t prompt_rows = 0;
  std::uint64_t generated_tokens = 0;
};

// Without prompts that do not fit into a rank's KV pages.
WorkLengths fitting(const WorkLengths& work, const DryRunSettings& settings);

// UserError if a prompt and its max_tokens do not fit into a rank's KV pages.
DryRunCounts dry_run(const WorkLengths& work, const DryRunSettings& settings, const StepWatch& watch);

}  // namespace moemill::mill
