// An attempt as rank 0 predicts it while it works: what is left, and what has been, of which its own domain stands for
// all. Used by progress and by the job.
#pragma once

#include <cstdint>

#include "mill/predicted.hpp"
#include "mill/totals.hpp"
#include "plan/forecast/forecast.hpp"

namespace moemill::mill {

struct RunPrediction {
  std::string source;
  Forecast expected;        // of the attempt's steps, before the first one
  double load_seconds = 0;  // predicted
  double answer_limit = 0;  // tokens of all answers of the attempt if they reach max_tokens
  double shards = 0;        // that the attempt writes
  const PredictedSteps& steps;

  // `rows_left` have not ended; `seconds` have passed since the first step. The lengths of the answers so far stand for
  // those to come, and the speed so far for the speed to come.
  double seconds_left(const Totals& totals, std::uint64_t rows_left, double seconds) const;
  // Both times of this attempt, whose idle time is what its other parts leave of `wall_seconds`.
  Predicted so_far(double load_seconds_measured, double wall_seconds) const;
};

// Both are the steps' parts, without loading; the idle time of `measured` is replaced.
Predicted compare(const RunPrediction& prediction, PartSeconds predicted, PartSeconds measured, double load_seconds,
                  double wall_seconds);

}  // namespace moemill::mill
