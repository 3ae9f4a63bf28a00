#include "mill/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text/format.hpp"
#include "base/text/json_values.hpp"
#include "dataset/run_dir/attempts.hpp"
#include "mill/summary.hpp"

namespace moemill::mill {
namespace {

// Counts per second since the last report.
double rate(std::uint64_t now, std::uint64_t before, double seconds) {
  return seconds > 0 ? static_cast<double>(now - before) / seconds : 0;
}

double eta_seconds(std::uint64_t done, std::uint64_t left, double seconds) {
  return done == 0 ? -1 : static_cast<double>(left) * seconds / static_cast<double>(done);
}

nlohmann::ordered_json by_layer(std::span<const std::uint64_t> counts, std::size_t experts) {
  auto layers = nlohmann::ordered_json::array();
  for (std::size_t at = 0; experts > 0 && at + experts <= counts.size(); at += experts)
    layers.push_back(std::vector(counts.begin() + static_cast<std::ptrdiff_t>(at),
                                 counts.begin() + static_cast<std::ptrdiff_t>(at + experts)));
  return layers;
}

}  // namespace

Progress::Progress(std::string metrics_path, Goal goal, double started, const RunPrediction* prediction)
    : metrics_path_(std::move(metrics_path)),
      goal_(goal),
      started_(started),
      prediction_(prediction),
      first_step_(now_seconds()),
      last_time_(first_step_),
      look_(isatty(STDERR_FILENO) ? Look::Live : Look::Log) {}

double Progress::eta(const Totals& t, double now) const {
  const std::uint64_t left = goal_.rows - ended(t);
  return prediction_ ? prediction_->seconds_left(t, left, now - first_step_)
                     : eta_seconds(t.completions, left, now - first_step_);
}

std::string Progress::line(const Totals& t, double now) const {
  const double eta = this->eta(t, now);
  double seconds = now - last_time_;
  return fmt::format("{}/{} rows{}, tokens/s in {:.0f} out {:.0f}, running {}, ETA {}", thousands(ended(t) - failed(t)),
                     thousands(goal_.rows), failed(t) ? fmt::format(" done, {} failed", thousands(failed(t))) : " done",
                     rate(t.prompt_tokens, last_.prompt_tokens, seconds),
                     rate(t.generated_tokens, last_.generated_tokens, seconds), t.running,
                     eta < 0 ? "?" : clock_text(eta));
}

std::string Progress::metrics_line(const Totals& t, const std::optional<End>& end, double now) const {
  double seconds = now - last_time_;
  const double eta = this->eta(t, now);
  nlohmann::ordered_json j = {
      {"time", utc_now()},
      {"attempt", goal_.attempt},
      {"wall_seconds", now - started_},
      {"load_seconds", first_step_ - started_},
      {"rows_total", goal_.rows},
      {"rows_done", ended(t) - failed(t)},
      {"rows_failed", failed(t)},
      {"prompts_total", goal_.prompts},
      {"prompts_done", goal_.before.prompts_done + t.prompts_done},
  };
  put(j, t, CountOf::Now);
  put(j, t, CountOf::Tokens);
  j["prompt_tokens_per_second"] = rate(t.prompt_tokens, last_.prompt_tokens, seconds);
  j["generated_tokens_per_second"] = rate(t.generated_tokens, last_.generated_tokens, seconds);
  put_seconds(j, t, SecondsOf::Run);
  put(j, t, CountOf::Prefix);
  put(j, t, CountOf::Balance);
  put_seconds(j, t, SecondsOf::Balance);
  put(j, t, CountOf::Exchange);
  put(j, t, CountOf::Steps);
  put(j, t, CountOf::Parts);
  put_seconds(j, t, SecondsOf::Exchange);
  if (end) {
    put(j, t, CountOf::Memory);
    j["max_over_mean"] = end->expert_load.max_over_mean;
    j["nodes_max_over_mean"] = end->expert_load.nodes_in_slices;
    j["nodes_max_over_mean_balanced"] = end->expert_load.nodes;
    j["expert_counts"] = by_layer(end->expert_counts, end->experts);
    j["row_seconds"] = end->row_seconds.whole();
  }
  if (end && end->predicted)
    j["predicted"] = json_of(*end->predicted, std::nullopt);
  else if (prediction_)
    j["predicted"] = json_of(prediction_->so_far(first_step_ - started_, now - started_), std::nullopt);
  j["eta_seconds"] = eta < 0 ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(eta);
  return j.dump();
}

void Progress::report(const Totals& totals) { write(totals, std::nullopt); }

void Progress::append_metrics(const std::string& line) {
  if (written_ == Metrics::GivenUp) return;
  try {
    if (!metrics_) metrics_.emplace(metrics_path_);
    metrics_->append(line);
  } catch (const SystemError& e) {
    written_ = Metrics::GivenUp;
    log::warning("metrics.jsonl ends here, the job continues: {}", e.what());
  }
}

void Progress::write(const Totals& totals, const std::optional<End>& end) {
  double now = now_seconds();
  append_metrics(metrics_line(totals, end, now));
  if (look_ == Look::Live && log::enabled(log::Level::Info)) {
    const std::string text = line(totals, now);
    log::raw("\r\x1b[K" + text);
    log::note(log::Level::Info, text);
  } else {
    log::info("{}", line(totals, now));
  }
  last_ = totals;
  last_time_ = now;
}

void Progress::finish(const Totals& totals, const End& end) {
  write(totals, end);
  if (look_ == Look::Live && log::enabled(log::Level::Info)) log::raw("\n");
}

EarlierAttempts read_earlier_attempts(const dataset::RunPaths& paths, std::uint32_t attempt) {
  std::map<std::uint32_t, nlohmann::json> last;
  dataset::for_each_object(paths.metrics(), [&](nlohmann::json& j) {
    const auto number = json_value_or(j, "attempt", attempt);
    if (number < attempt) last[number] = std::move(j);
  });
  EarlierAttempts sum;
  std::map<std::uint32_t, dataset::AttemptRecord> records = dataset::attempt_records(paths);  // more than have metrics
  for (const auto& [number, j] : last) {
    const Totals t = totals_in(j);
    sum.totals.add_attempt(t);
    if (const auto ratio = json_value<double>(j, "max_over_mean"))
      sum.expert_load += {*ratio, t.prompt_tokens + t.generated_tokens, json_value_or(j, "nodes_max_over_mean", 1.0),
                          json_value_or(j, "nodes_max_over_mean_balanced", 1.0)};
    if (const auto predicted = predicted_in(j)) add_to(sum.predicted, *predicted);
    if (j.contains("row_seconds")) sum.row_seconds += RowSeconds::from(j["row_seconds"]);
    std::optional<double>& seconds = records[number].seconds;
    seconds = std::max(seconds.value_or(0), json_value_or(j, "wall_seconds", 0.0));
    sum.load_seconds += json_value_or(j, "load_seconds", 0.0);
  }
  for (const auto& [number, record] : records) {
    if (number >= attempt || !record.seconds) continue;
    sum.wall_seconds += *record.seconds;
    sum.held.add(*record.seconds, record.ranks, record.nodes, record.cores);
  }
  return sum;
}

}  // namespace moemill::mill
