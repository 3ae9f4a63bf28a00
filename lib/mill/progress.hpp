// How far the run is, told by rank 0: one live line on a terminal, one line an interval in a log, and one JSON object
// an interval in metrics.jsonl.
#pragma once

#include <cstdint>
#include <string>

#include "dataset/run_dir.hpp"
#include "mill/totals.hpp"

namespace moemill::mill {

class Progress {
 public:
  struct Goal {
    std::uint64_t prompts = 0;
    std::uint64_t rows = 0;         // completions of the whole run
    std::uint64_t rows_before = 0;  // of earlier attempts
    std::uint32_t attempt = 1;
  };
  Progress(dataset::MetricsFile metrics, Goal goal, double started);
  // Totals of all ranks in this attempt.
  void report(const Totals& totals);
  // The last report; ends the live line.
  void finish(const Totals& totals);

 private:
  std::string line(const Totals& totals, double now) const;
  std::string metrics_line(const Totals& totals, double now) const;

  dataset::MetricsFile metrics_;
  Goal goal_;
  double started_;
  double last_time_;
  Totals last_;
  enum class Look { Live, Log } look_;
};

}  // namespace moemill::mill
