#include "plan/forecast/forecast.hpp"

#include <algorithm>
#include <cmath>

#include "schedule/pages.hpp"

namespace moemill::mill {
namespace {

// What a shard takes besides its rows (its journal, fsync, its place among the others, reading it back), in bytes that
// are written in that time: 10 ms on a local disk, where the demo wrote 75 MB/s.
constexpr double bytes_per_shard = 750e3;

// The larger sample fills its ranks so many times at least, and the smaller one half as often: what a run does between
// its beginning and its end shows only in work that does not run all at once.
constexpr double least_waves = 4;

struct Run {
  PartSeconds parts;
  double steps = 0;
  double rows = 0;
};

Run run(const ForecastQuestion& question, const WorkLengths& work, std::uint32_t ranks) {
  DryRunSettings settings = question.run;
  settings.ranks = ranks, settings.ranks_of_domain = std::min(question.ranks_of_domain, ranks);
  std::vector<StepSeconds> domains(settings.domains(), StepSeconds(question.predictors, question.ranks_of_domain));
  std::vector<StepShare> shares;
  const DryRunCounts counts = dry_run(work, settings, [&](const DryStep& step) {
    StepSeconds& seconds = domains[step.domain];
    shares.clear();
    for (const calibration::StepFacts& facts : step.ranks) shares.push_back(seconds.share_of(facts));
    const double before = seconds.parts().wall();
    seconds.add(step.phase, shares);
    return seconds.parts().wall() - before;
  });
  Run out{{}, static_cast<double>(counts.steps) / settings.domains(), static_cast<double>(work.rows())};
  for (std::uint32_t d = 0; d < settings.domains(); ++d) {  // a domain without steps is idle
    PartSeconds parts = domains[d].parts();
    parts.idle += std::max(0.0, counts.seconds - parts.wall());
    const std::uint32_t first = d * settings.ranks_of_domain;
    out.parts += parts * (1.0 * std::min(settings.ranks_of_domain, ranks - first) / ranks);
  }
  return out;
}

// Prompts whose sequences a rank runs at once.
double prompts_at_once(const WorkLengths& work, const schedule::SchedulerSettings& settings) {
  double samples = 0, room = 0;
  for (const PromptLengths& prompt : work.prompts) {
    samples += prompt.samples;
    room += 1.0 * prompt.samples * (prompt.tokens + prompt.max_tokens);
  }
  double sequences = settings.max_num_seqs;
  if (settings.pages > 0)
    sequences = std::min(sequences, 1.0 * settings.pages * schedule::page_tokens * samples / room);
  return std::max(1.0, sequences * static_cast<double>(work.prompts.size()) / samples);
}

// Ranks have equal shares of the work, so a few ranks with their share of it take the same time as all.
struct Sampling {
  std::uint32_t ranks = 1;
  double prompts = 0;  // of the larger sample, in whole waves; the smaller one has every second of them
};

Sampling sampling_of(const ForecastQuestion& question) {
  const auto prompts = static_cast<double>(question.work.prompts.size());
  const double wave = prompts_at_once(question.work, question.run.scheduler);  // of a rank
  const double most =
      prompts * 2 / 3 * static_cast<double>(question.most_rows) / static_cast<double>(question.work.rows());
  const double all_ranks = question.run.ranks;
  Sampling out;
  out.ranks = static_cast<std::uint32_t>(std::clamp(most / (least_waves * wave), std::min(2.0, all_ranks), all_ranks));
  if (out.ranks > question.ranks_of_domain) out.ranks -= out.ranks % question.ranks_of_domain;  // whole domains
  const double waves = std::max(least_waves, 2 * std::floor(most / (2 * wave * out.ranks)));
  out.prompts = 2 * std::round(waves * wave * out.ranks / 2);
  return out;
}

// Two samples of the work, and what they have more and less than each other for the rest.
Run run_samples(const ForecastQuestion& question) {
  const auto [ranks, prompts] = sampling_of(question);
  const double share = 1.0 * ranks / question.run.ranks, all = share * static_cast<double>(question.work.rows());
  const auto most = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(question.work.prompts.size())));
  const auto count = static_cast<std::uint64_t>(prompts);
  const Run large = run(question, sample_of(question.work, std::min(count, most)), ranks);
  if (count >= most) return large;
  const Run small = run(question, sample_of(question.work, count / 2), ranks);
  const double times = (all - large.rows) / (large.rows - small.rows);
  Run whole = large;
  whole.parts += large.parts * times;
  whole.parts += small.parts * -times;
  whole.steps += (large.steps - small.steps) * times;
  for (const Part& part : all_parts) whole.parts.*part.member = std::max(0.0, whole.parts.*part.member);
  return whole;
}

}  // namespace

Forecast forecast(const ForecastQuestion& question) {
  const WorkLengths& work = question.work;
  const bool sampled = work.rows() > question.most_rows;
  const Run whole = sampled ? run_samples(question) : run(question, work, question.run.ranks);
  return {whole.parts, whole.steps, static_cast<double>(work.prompt_tokens()),
          static_cast<double>(work.answer_tokens()), sampled};
}

double Forecast::seconds_left(double prompt_tokens_left, double answer_tokens_left) const {
  const double steps_seconds = parts.prefill + parts.decode;
  if (steps_seconds <= 0) return 0;
  const double prompts = prompt_tokens > 0 ? parts.prefill * prompt_tokens_left / prompt_tokens : 0;
  const double answers = answer_tokens > 0 ? parts.decode * answer_tokens_left / answer_tokens : 0;
  return (prompts + answers) * parts.wall() / steps_seconds;
}

PartSeconds other_seconds(const calibration::Calibration& calibration, const OtherWork& work, std::uint32_t ranks) {
  const auto seconds = [](double bytes, const std::optional<double>& rate) {
    return rate && *rate > 0 ? bytes / *rate : 0.0;
  };
  PartSeconds parts;
  parts.load = seconds(work.weight_bytes, calibration.load_bytes_per_second);
  if (parts.load > 0) parts.load += calibration.start_seconds;
  parts.idle = seconds(work.prompt_bytes / ranks, calibration.tokenize_bytes_per_second) +
               seconds((work.row_bytes + work.shards * bytes_per_shard) / ranks, calibration.shard_bytes_per_second) +
               seconds(work.row_bytes, calibration.shard_bytes_per_second);  // rank 0 merges
  return parts;
}

OtherWork other_work(double weight_bytes, double prompt_tokens, double answer_tokens, double shards) {
  return {weight_bytes, 4 * prompt_tokens, 8 * answer_tokens, shards};
}

}  // namespace moemill::mill
