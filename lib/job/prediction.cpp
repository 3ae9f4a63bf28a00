#include "job/prediction.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/numbers/rounding.hpp"
#include "base/text/format.hpp"
#include "generate/backend/backend.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/cpu_model.hpp"

namespace moemill::mill {
namespace {

// Of a forecast before the first step: all ranks wait for it, and so many rows take about a tenth of a second. Long
// sequences may need more to fill two ranks.
constexpr std::uint64_t most_rows = std::uint64_t{1} << 20;

StepPredictors predictors_of(const calibration::Calibration& measured, const ParallelSettings& parallel,
                             const model::ModelConfig& model, std::uint32_t ranks_of_domain) {
  StepPredictors predictors{{measured, model, {ranks_of_domain, parallel.micro_batches.value_or(1)}}};
  if (!parallel.micro_batches && ranks_of_domain > 1)
    predictors.emplace_back(measured, model, calibration::StepLayout{ranks_of_domain, 2});
  return predictors;
}

}  // namespace

void RunCalibration::set_domain(const ParallelSettings& parallel, const model::ModelConfig& model,
                                const Ranks& settled) {
  ranks_of_domain = static_cast<std::uint32_t>(settled.domain.size());
  predictors = predictors_of(measured, parallel, model, ranks_of_domain);
}

RunCalibration open_calibration(const std::string& file, const RunConfig& config, const model::ModelConfig& model,
                                const Where& where) {
  calibration::Calibration measured = calibration::read_calibration(file);
  const std::uint32_t micro_batches = config.parallel.micro_batches.value_or(1);
  StepPredictors predictors = predictors_of(measured, config.parallel, model, where.ranks_of_domain);
  auto warnings = calibration::warnings(measured, model,
                                        {cpu_model(), cpu_instruction_set(), config.model.arithmetic, where.ranks,
                                         where.threads_per_rank, where.nodes, micro_batches});
  for (std::string& warning : warnings) warning = fmt::format("cost.calibration: {}: {}", file, warning);
  std::string source = fmt::format("{}, {}, {}", file, measured.machine.cpu, measured.machine.measured_utc);
  return {where.ranks,           std::move(measured), std::move(predictors),
          where.ranks_of_domain, std::move(source),   std::move(warnings)};
}

std::optional<RunCalibration> open_calibration(const RunConfig& config, const model::ModelConfig& model,
                                               const Ranks& ranks) {
  if (!config.cost.calibration) return std::nullopt;
  std::optional<RunCalibration> opened;
  run_on_all_ranks(ranks.world, [&] {
    const Where where{static_cast<std::uint32_t>(ranks.world.size()), static_cast<std::uint32_t>(ranks.nodes),
                      static_cast<std::uint32_t>(ranks.cores.threads), static_cast<std::uint32_t>(ranks.domain.size())};
    opened.emplace(open_calibration(*config.cost.calibration, config, model, where));
  });
  if (ranks.world.rank() == 0)
    for (const std::string& warning : opened->warnings) log::warning("{}", warning);
  return opened;
}

WorkLengths lengths_of(const JobEstimate& job, const SamplingParams& sampling, std::optional<double> answer_tokens) {
  WorkLengths work;
  work.sampling = sampling;
  // Prompts of a lot are alike to it. Those that begin alike count with the tokens of their own, so that contexts are
  // taken for shorter than they are.
  for (const schedule::Lot& lot : job.lots) {
    const auto tokens = static_cast<std::uint32_t>(lot.prompt_tokens / lot.dealt);
    const auto samples = std::max(lot.sequences / lot.dealt, 1u);
    const std::uint64_t most = (lot.work - std::min(lot.work, lot.prompt_tokens)) / lot.sequences;
    // As Engine: no sequence is longer than the longest.
    const auto room =
        static_cast<std::uint32_t>(job.longest_tokens - std::min<std::uint64_t>(job.longest_tokens, tokens));
    const auto max_tokens = std::min(static_cast<std::uint32_t>(most), room);
    const double answer = answer_tokens.value_or(max_tokens);
    for (std::uint32_t p = 0; p < lot.dealt; ++p)
      work.add(tokens, max_tokens, samples, static_cast<std::uint32_t>(std::min<double>(answer, max_tokens)));
  }
  return work;
}

schedule::SchedulerSettings scheduler_settings(const ParallelSettings& parallel, const KvPages& pages,
                                               const model::ModelConfig& model) {
  return {
      parallel.max_num_seqs, parallel.max_num_batched_tokens, pages.full, 0, pages.window > 0 ? model.gqa.window : 0,
      pages.window};
}

RunPrediction expect_work(const RunCalibration& calibration, const AttemptWork& work, const PredictedSteps& steps) {
  // Nobody has tokenised the prompts yet: those that seem too long for the cache may fit or fail, and refuse no run.
  const WorkLengths lengths = fitting(work.lengths, work.run);
  const Forecast expected =
      forecast({calibration.predictors, lengths, work.run, calibration.ranks_of_domain, most_rows});
  const PartSeconds loading = other_seconds(calibration.measured, {.weight_bytes = work.weight_bytes}, work.run.ranks);
  double limit = 0;
  for (const PromptLengths& prompt : work.lengths.prompts) limit += 1.0 * prompt.samples * prompt.max_tokens;
  const double shards = static_cast<double>(divide_up(work.lengths.prompts.size(), work.run.shard_prompts));
  return {calibration.source, expected, loading.load, limit, shards, steps};
}

Predicted predicted_attempt(const RunCalibration& calibration, const RunPrediction& expected, const StepParts& steps,
                            const Totals& totals, double load_seconds, double wall_seconds) {
  const OtherWork work = other_work(0, static_cast<double>(totals.prompt_tokens),
                                    static_cast<double>(totals.generated_tokens), expected.shards);
  Predicted attempt = compare(expected, steps.predicted, steps.measured, load_seconds, wall_seconds);
  attempt.predicted += other_seconds(calibration.measured, work, calibration.ranks);
  return attempt;
}

std::string forecast_text(const Forecast& forecast, Answers answers) {
  return fmt::format("{} of steps ({}) {}", clock_text(forecast.parts.wall()), parts_text(forecast.parts),
                     answers == Answers::ReachLimit ? "if all answers reach max_tokens"
                                                    : "with answers as long as those of earlier attempts");
}

}  // namespace moemill::mill
