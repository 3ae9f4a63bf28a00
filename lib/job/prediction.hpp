// The calibration that cost.calibration names, and what it says of a run. Used by run_job, and by validate and plan.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "mill/predicted.hpp"
#include "mill/run_prediction.hpp"
#include "plan/calibration/predict.hpp"
#include "plan/forecast/forecast.hpp"
#include "plan/job_size.hpp"
#include "plan/kv_plan.hpp"
#include "plan/ranks.hpp"

namespace moemill::mill {

// Where a run works: what a calibration may differ in.
struct Where {
  std::uint32_t ranks = 1, nodes = 1, threads_per_rank = 1;
  std::uint32_t ranks_of_domain = 1;
};

struct RunCalibration {
  std::uint32_t ranks = 1;
  calibration::Calibration measured;
  StepPredictors predictors;
  std::uint32_t ranks_of_domain = 1;
  std::string source;                 // file, machine, date
  std::vector<std::string> warnings;  // what differs from the run, by name

  // Predicts from now on for the domain of these ranks, which an attempt may settle late.
  void set_domain(const ParallelSettings& parallel, const model::ModelConfig& model, const Ranks& settled);
};

// UserError for a file that is no calibration.
RunCalibration open_calibration(const std::string& file, const RunConfig& config, const model::ModelConfig& model,
                                const Where& where);
// That of the run, or nothing if it has none; the warnings are logged. Collective.
std::optional<RunCalibration> open_calibration(const RunConfig& config, const model::ModelConfig& model,
                                               const Ranks& ranks);

// The lengths of a job before its prompts are read: those of a lot's prompts are equal. `answer_tokens` of each
// answer, or max_tokens.
WorkLengths lengths_of(const JobEstimate& job, const SamplingParams& sampling, std::optional<double> answer_tokens);

// Each rank's scheduler as the engine makes it; the length of the longest sequence is the dry run's to know.
schedule::SchedulerSettings scheduler_settings(const ParallelSettings& parallel, const KvPages& pages,
                                               const model::ModelConfig& model);

// The forecast of an attempt's steps, and what loading should have taken.
struct AttemptWork {
  const WorkLengths& lengths;
  DryRunSettings run;
  double weight_bytes = 0;  // that a rank loads
};
RunPrediction expect_work(const RunCalibration& calibration, const AttemptWork& work, const PredictedSteps& steps);

// The attempt after its last step: `steps` are means over all ranks. Tokenising and writing count as idle time.
struct StepParts {
  PartSeconds predicted, measured;
};
Predicted predicted_attempt(const RunCalibration& calibration, const RunPrediction& expected, const StepParts& steps,
                            const Totals& totals, double load_seconds, double wall_seconds);

enum class Answers { ReachLimit, AsBefore };  // lengths that a forecast takes: max_tokens, or those of earlier attempts
// "361 s of steps (prefill 120, decode 226, exchange 9, idle 6) if answers reach max_tokens".
std::string forecast_text(const Forecast& forecast, Answers answers);

}  // namespace moemill::mill
