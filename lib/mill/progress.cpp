#include "mill/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "mill/summary.hpp"

namespace moemill::mill {
namespace {

// Since the last report, or since the start when that is the same moment.
double rate(std::uint64_t now, std::uint64_t before, double seconds) {
  return seconds > 0 ? static_cast<double>(now - before) / seconds : 0;
}

double eta_seconds(std::uint64_t done, std::uint64_t left, double seconds) {
  return done == 0 ? -1 : static_cast<double>(left) * seconds / static_cast<double>(done);
}

}  // namespace

Progress::Progress(dataset::MetricsFile metrics, Goal goal, double started)
    : metrics_(std::move(metrics)),
      goal_(goal),
      started_(started),
      last_time_(started),
      look_(isatty(STDERR_FILENO) ? Look::Live : Look::Log) {}

std::string Progress::line(const Totals& t, double now) const {
  const std::uint64_t done = goal_.rows_before + t.completions;
  double eta = eta_seconds(t.completions, goal_.rows - done, now - started_);
  double seconds = now - last_time_;
  return fmt::format("{}/{} rows{}, tokens/s in {:.0f} out {:.0f}, running {}, ETA {}", thousands(done),
                     thousands(goal_.rows), t.rows_failed ? fmt::format(" ({} failed)", thousands(t.rows_failed)) : "",
                     rate(t.prompt_tokens, last_.prompt_tokens, seconds),
                     rate(t.generated_tokens, last_.generated_tokens, seconds), t.running,
                     eta < 0 ? "?" : clock_text(eta));
}

std::string Progress::metrics_line(const Totals& t, double now) const {
  const std::uint64_t done = goal_.rows_before + t.completions;
  double seconds = now - last_time_;
  double eta = eta_seconds(t.completions, goal_.rows - done, now - started_);
  nlohmann::ordered_json j = {
      {"time", utc_now()},
      {"attempt", goal_.attempt},
      {"elapsed_seconds", now - started_},
      {"rows_total", goal_.rows},
      {"rows_done", done},
      {"rows_failed", t.rows_failed},
      {"prompts_total", goal_.prompts},
      {"prompts_done", t.prompts_done},
      {"running", t.running},
      {"prompt_tokens", t.prompt_tokens},
      {"cached_prompt_tokens", t.cached_prompt_tokens},
      {"generated_tokens", t.generated_tokens},
      {"prompt_tokens_per_second", rate(t.prompt_tokens, last_.prompt_tokens, seconds)},
      {"generated_tokens_per_second", rate(t.generated_tokens, last_.generated_tokens, seconds)},
      {"prefill_seconds", t.prefill_seconds},
      {"decode_seconds", t.decode_seconds},
      {"exchange_seconds", t.exchange_seconds},
      {"idle_seconds", t.idle_seconds}};
  j["eta_seconds"] = eta < 0 ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(eta);
  return j.dump();
}

void Progress::report(const Totals& totals) {
  double now = now_seconds();
  metrics_.append(metrics_line(totals, now));
  if (look_ == Look::Live && log::enabled(log::Level::Info)) {
    fmt::print(stderr, "\r\x1b[K{}", line(totals, now));
    std::fflush(stderr);
  } else {
    log::info("{}", line(totals, now));
  }
  last_ = totals;
  last_time_ = now;
}

void Progress::finish(const Totals& totals) {
  report(totals);
  if (look_ == Look::Live && log::enabled(log::Level::Info)) fmt::print(stderr, "\n");
}

}  // namespace moemill::mill
