#include "plan/forecast/forecast.hpp"

#include <algorithm>

namespace moemill::mill {
namespace {

// What a shard takes besides its rows (its journal, fsync, its place among the others, reading it back), in bytes that
// are written in that time: 10 ms on a local disk, where the demo wrote 75 MB/s.
constexpr double bytes_per_shard = 750e3;

struct Run {
  PartSeconds parts;
  double steps = 0;
  double rows = 0;
};

Run run(const ForecastQuestion& question, const WorkLengths& work) {
  StepSeconds seconds(question.predictor, question.ranks_of_domain);
  std::vector<StepShare> shares(question.run.ranks);
  const DryRunCounts counts =
      dry_run(work, question.run, [&](schedule::Phase phase, std::span<const calibration::StepFacts> ranks) {
        std::transform(ranks.begin(), ranks.end(), shares.begin(),
                       [&](const calibration::StepFacts& facts) { return seconds.share_of(facts); });
        seconds.add(phase, shares);
      });
  return {seconds.parts(), static_cast<double>(counts.steps), static_cast<double>(work.rows())};
}

// Two samples of the work, and what they have more and less than each other for the rest.
Run run_samples(const ForecastQuestion& question) {
  const std::uint64_t rows = question.work.rows();
  const std::uint64_t step = rows * 3 / (question.most_rows * 2) + 1;
  const Run large = run(question, every(question.work, step));
  const Run small = run(question, every(question.work, 2 * step));
  const auto all = static_cast<double>(rows);
  if (large.rows <= small.rows) return large;  // a single prompt
  const double times = (all - large.rows) / (large.rows - small.rows);
  Run whole = large;
  whole.parts += large.parts * times;
  whole.parts += small.parts * -times;
  whole.steps += (large.steps - small.steps) * times;
  return whole;
}

}  // namespace

Forecast forecast(const ForecastQuestion& question) {
  const WorkLengths& work = question.work;
  const bool sampled = work.rows() > question.most_rows;
  const Run whole = sampled ? run_samples(question) : run(question, work);
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
  parts.idle = seconds(work.prompt_bytes / ranks, calibration.tokenize_bytes_per_second) +
               seconds((work.row_bytes + work.shards * bytes_per_shard) / ranks, calibration.shard_bytes_per_second) +
               seconds(work.row_bytes, calibration.shard_bytes_per_second);  // rank 0 merges
  return parts;
}

OtherWork other_work(double weight_bytes, double prompt_tokens, double answer_tokens, double shards) {
  return {weight_bytes, 4 * prompt_tokens, 8 * answer_tokens, shards};
}

}  // namespace moemill::mill
