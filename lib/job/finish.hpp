// The end of a run: merging the shards, counting rows, writing summary.json, printing the ledger, choosing the exit
// code. Called by run_job. Rank 0 does the work; the other ranks wait for the exit code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/run_config.hpp"
#include "dataset/prompts/prompts.hpp"
#include "dataset/run_dir/counts.hpp"
#include "generate/engine.hpp"
#include "job/run_setup.hpp"
#include "mill/mill.hpp"
#include "mill/run_prediction.hpp"
#include "mill/stop.hpp"
#include "mill/summary.hpp"
#include "plan/ranks.hpp"

namespace moemill::mill {

// What the summary needs to know about this attempt.
struct Report {
  Summary summary;
  double load_seconds = 0;
  ExpertLoad expert_load;
  std::string stop_reason;                   // why the attempt stopped early, the same on all ranks; "" when it did not
  std::vector<std::uint64_t> expert_counts;  // [MoE layers, experts], summed over ranks
  RowSeconds row_seconds;                    // combined over ranks
  std::optional<Predicted> predicted;        // of this attempt, until its last step; absent without a calibration

  // Combines the loop's totals over all ranks and stores them in this report. Collective.
  void take(const Ranks& ranks, const Totals& mine, const RowSeconds& rows, const Engine& engine,
            const model::ModelConfig& model);
};

dataset::AttemptCores attempt_cores(const Ranks& ranks);
// Adds a line to attempts.jsonl. If that fails, a warning says so and the job continues: no row depends on it.
void record_or_warn(const dataset::RunPaths& paths, const auto& line);
Report start_report(const Ranks& ranks, const model::ModelConfig& model, const RunPlan& plan);

using dataset::RunCounts;
// Text such as "12 done" or "12 done and 3 failed".
std::string rows_text(const RunCounts& counts);
ExitCode exit_code_of(const RunCounts& counts, const dataset::RunManifest& manifest, const ErrorSettings& errors);

// Merges the shards, unless `stop` interrupts the merge; writes summary.json, stores the exit code and prints the
// ledger; then removes the shards unless they are to be kept. `started` is now_seconds() at the start of the program.
// Collective.
ExitCode finish_run(const Comm& world, RunPlan& plan, const RunConfig& config, const dataset::PromptFile& prompts,
                    const dataset::RootAttributes& attributes, MillEnd end, Report& report, StopWish& stop,
                    dataset::RunCounter& counter, double started);

// Whether an earlier attempt completed the run: every shard, outputs.h5 if it is wanted, and summary.json. Rank 0 looks
// at the files and sends the answer to all ranks. Collective.
bool is_finished(const Comm& world, const RunPlan& plan, const RunConfig& config);

// Reports that a run has nothing left to do, and removes shards that are not to be kept. The exit code depends on the
// run's rows. Collective.
ExitCode report_already_finished(const Comm& world, RunPlan& plan, const RunConfig& config, StopWish& stop);

}  // namespace moemill::mill
