// How long a run takes, before it runs: its scheduler is run on the lengths (dry_run.hpp) and every step predicted.
// Used by the job before its first step, by validate, and by `moemill plan`.
#pragma once

#include <cstdint>
#include <optional>

#include "plan/forecast/dry_run.hpp"
#include "plan/forecast/part_seconds.hpp"
#include "plan/forecast/step_seconds.hpp"

namespace moemill::mill {

struct ForecastQuestion {
  const StepPredictors& predictors;
  const WorkLengths& work;
  DryRunSettings run;
  std::uint32_t ranks_of_domain = 1;
  // Of larger work, two samples of its prompts are run, with a third and two thirds of so many rows, and the rest grows
  // as from one to the other: beginning and end of a run do not grow with its work. If these rows do not fill all ranks
  // several times over, fewer ranks run, with their share of the work; two of them have more rows if they must.
  std::uint64_t most_rows = std::uint64_t{10} << 20;
};

struct Forecast {
  PartSeconds parts;  // of the steps: nothing for loading, tokenising, writing
  double steps = 0;
  double prompt_tokens = 0;
  double answer_tokens = 0;
  bool sampled = false;  // the work has more than most_rows

  // Seconds of what is left, which are taken as proportional to its tokens.
  double seconds_left(double prompt_tokens_left, double answer_tokens_left) const;
};

Forecast forecast(const ForecastQuestion& question);

// What a run does besides its steps, in bytes.
struct OtherWork {
  double weight_bytes = 0;  // that a rank reads
  double prompt_bytes = 0;  // of all prompts
  double row_bytes = 0;     // of all rows
  double shards = 0;        // files that the rows are written to
};
// Loading, and as idle time tokenising, writing shards and merging them; without what the calibration has not measured.
PartSeconds other_seconds(const calibration::Calibration& calibration, const OtherWork& work, std::uint32_t ranks);
// The bytes that prompts and rows of so many tokens have: a token's text has about four bytes, its id four.
OtherWork other_work(double weight_bytes, double prompt_tokens, double answer_tokens, double shards);

}  // namespace moemill::mill
