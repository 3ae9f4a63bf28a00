#include "commands/run_estimate.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/numbers/rounding.hpp"
#include "base/readable.hpp"
#include "base/text/format.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "job/prediction.hpp"
#include "mill/summary.hpp"

namespace moemill::mill {

void add_prompt(WorkLengths& work, const PreparedPrompt& prompt, const AnswerLengths& answers) {
  const std::uint32_t max_tokens = prompt.sampling.max_tokens, samples = prompt.sampling.n;
  const std::size_t first = work.answers.size();
  work.add(static_cast<std::uint32_t>(prompt.tokens.size()), max_tokens, samples, max_tokens);
  if (max_tokens == 0) return;
  for (std::size_t s = first; s < work.answers.size(); ++s)
    work.answers[s] = std::max(1u, answers.length(s, max_tokens));
}

RunEstimate estimate_run(const std::string& file, const RunConfig& config, const FitQuestion& question, const Fit& fit,
                         const WorkLengths& work) {
  const JobShape& shape = question.shape;
  RunEstimate estimate;
  estimate.ranks = shape.ranks, estimate.nodes = shape.nodes();
  estimate.threads_per_rank = question.parallel.threads_per_rank.value_or(1);
  const RunCalibration calibration =
      open_calibration(file, config, question.model,
                       {shape.ranks, estimate.nodes, estimate.threads_per_rank, shape.domain_size.front()});
  const std::uint64_t shard_prompts =
      config.output.shard_prompts.value_or(dataset::auto_shard_prompts(work.prompts.size()));
  const Forecast steps =
      forecast({calibration.predictors,
                work,
                {shape.ranks, shard_prompts, scheduler_settings(config.parallel, fit.pages, question.model)},
                calibration.ranks_of_domain});
  // The ranks of a node load their one copy together, or each loads its own weights.
  const double weight_bytes = fit.weights.shared_bytes > 0
                                  ? static_cast<double>(fit.weights.shared_bytes) / shape.ranks_per_node
                                  : static_cast<double>(fit.weights.rank_bytes);
  estimate.parts = steps.parts;
  estimate.parts +=
      other_seconds(calibration.measured,
                    other_work(weight_bytes, steps.prompt_tokens, steps.answer_tokens,
                               static_cast<double>(divide_up<std::uint64_t>(work.prompts.size(), shard_prompts))),
                    shape.ranks);
  estimate.steps = steps.steps, estimate.sampled = steps.sampled;
  estimate.prompts = static_cast<double>(work.prompts.size());
  estimate.answers = static_cast<double>(work.answers.size());
  estimate.prompt_tokens = steps.prompt_tokens, estimate.answer_tokens = steps.answer_tokens;
  estimate.source = calibration.source, estimate.warnings = calibration.warnings;
  return estimate;
}

namespace {

std::string count_text(double count) { return thousands(static_cast<std::uint64_t>(count + 0.5)); }

std::string cost_text(const RunEstimate& e, const CostSettings& settings) {
  if (!settings.hour_price) return "";
  Summary s;
  s.wall_seconds = e.parts.wall();
  s.ranks = static_cast<int>(e.ranks), s.nodes = static_cast<int>(e.nodes);
  const std::uint64_t cores = std::uint64_t{e.ranks} * e.threads_per_rank;
  s.held.add(s.wall_seconds, s.ranks, s.nodes, {cores, cores, cores});
  s.totals.prompt_tokens = static_cast<std::uint64_t>(e.prompt_tokens);
  s.totals.generated_tokens = static_cast<std::uint64_t>(e.answer_tokens);
  const Cost cost = cost_of(s, settings);
  return fmt::format("cost     {:.3g} {} ({:.3g} {}-hours at {}): {:.4g} {} per 1M tokens, {:.4g} per 1M generated\n",
                     cost.total, settings.currency, cost.unit_hours, cost_unit(settings), *settings.hour_price,
                     cost.per_million_tokens, settings.currency, cost.per_million_output_tokens);
}

}  // namespace

std::string headline(const RunEstimate& e) {
  return fmt::format("{}, {} ({} + {} tokens): {} on {}",
                     counted(static_cast<std::uint64_t>(e.prompts), "prompt", "prompts"),
                     counted(static_cast<std::uint64_t>(e.answers), "answer", "answers"), count_text(e.prompt_tokens),
                     count_text(e.answer_tokens), clock_text(e.parts.wall()), counted(e.ranks, "rank", "ranks"));
}

std::string details(const RunEstimate& e, const CostSettings& cost) {
  const double seconds = e.parts.wall();
  std::string text = fmt::format("parts    {} s\n", parts_text(e.parts));
  text += fmt::format("steps    {}{}; {} tokens/s, prompt and generated\n", count_text(e.steps),
                      e.sampled ? ", extrapolated from two samples of the prompts" : "",
                      count_text(seconds > 0 ? (e.prompt_tokens + e.answer_tokens) / seconds : 0));
  text += cost_text(e, cost);
  text += fmt::format("from     this machine, calibrated: {}\n", e.source);
  for (const std::string& warning : e.warnings) text += fmt::format("warning: {}\n", warning);
  return text;
}

}  // namespace moemill::mill
