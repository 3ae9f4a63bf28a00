// How far the run is, reported by rank 0: one live line on a terminal, or one line per interval in a log, and one JSON
// object per interval in metrics.jsonl.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "dataset/json_lines.hpp"
#include "dataset/run_dir/counts.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "generate/row_seconds.hpp"
#include "mill/run_prediction.hpp"
#include "mill/summary.hpp"
#include "mill/totals.hpp"

namespace moemill::mill {

class Progress {
 public:
  struct Goal {
    std::uint64_t prompts = 0;
    std::uint64_t rows = 0;     // completions of the whole run
    dataset::RunCounts before;  // of earlier attempts
    std::uint32_t attempt = 1;
  };
  // `started`: now_seconds() at the start of the program. If metrics.jsonl cannot be written, one warning says so and
  // the job continues.
  // `prediction`: what the ETA follows from, if there is one; it must outlive this object.
  Progress(std::string metrics_path, Goal goal, double started, const RunPrediction* prediction = nullptr);
  // `totals` covers all ranks in this attempt.
  void report(const Totals& totals);
  // Values that exist only at the end of an attempt.
  struct End {
    ExpertLoad expert_load;
    std::span<const std::uint64_t> expert_counts;  // [MoE layers, experts], how often each expert was picked
    std::size_t experts = 0;                       // per layer
    RowSeconds row_seconds;
    std::optional<Predicted> predicted;
  };
  // Writes the last report and ends the live line.
  void finish(const Totals& totals, const End& end);

 private:
  std::uint64_t ended(const Totals& totals) const { return goal_.before.rows + totals.completions; }
  std::uint64_t failed(const Totals& totals) const { return goal_.before.rows_failed + totals.rows_failed; }
  double eta(const Totals& totals, double now) const;  // seconds; negative if it is not known
  std::string line(const Totals& totals, double now) const;
  std::string metrics_line(const Totals& totals, const std::optional<End>& end, double now) const;
  void write(const Totals& totals, const std::optional<End>& end);

  void append_metrics(const std::string& line);

  std::string metrics_path_;
  std::optional<dataset::JsonLines> metrics_;
  enum class Metrics { Written, GivenUp } written_ = Metrics::Written;
  Goal goal_;
  double started_;
  const RunPrediction* prediction_;
  double first_step_;
  double last_time_;
  Totals last_;
  enum class Look { Live, Log } look_;
};

// Sums of the attempts before `attempt`, by the last line of each in metrics.jsonl. A killed attempt is counted up to
// that line, but its time up to its last heartbeat.
struct EarlierAttempts {
  Totals totals;
  double wall_seconds = 0;
  double load_seconds = 0;
  Held held;
  ExpertLoad expert_load;
  RowSeconds row_seconds;              // of the attempts that ended cleanly
  std::optional<Predicted> predicted;  // of the attempts that had a calibration, up to their last line
};
EarlierAttempts read_earlier_attempts(const dataset::RunPaths& paths, std::uint32_t attempt);

}  // namespace moemill::mill
