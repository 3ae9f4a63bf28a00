// `moemill bench simulate`: what a step of up to thousands of ranks sends between nodes, who computes how much, and how
// full a run's steps are. The run's own plan of the exchange, split of the experts' work and scheduler are carried out
// for all ranks by one process: no weights, no arithmetic, no second rank.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/counting/count_exchange.hpp"
#include "bench/counting/count_run.hpp"
#include "bench/options.hpp"
#include "bench/recorded_picks.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

struct SimulateOptions {
  std::string model;
  CountedLayout layout{72, 8, 128};
  std::string picks;                       // a file of runtime.record_picks; "": made up by the power law
  std::optional<std::uint32_t> redundant;  // experts a layer; nothing: experts in slices are all that is counted
  double power_law = 1.01;
  std::uint64_t seed = 0;
  RunLimits run;
  std::uint64_t prompts = 0;  // made up; 0 without `input`: no run is counted
  std::string input;          // a prompts.h5 in place of `prompts` and `input_tokens`, or ""
  std::string input_tokens, output_tokens;
  Form form = Form::Table;
};

// Of --picks.
struct RecordedRows {
  std::uint64_t rows = 0;
  std::uint32_t steps = 0, attempt = 0;
  SameWeights same_weights = SameWeights::Unknown;
};

struct Simulated {
  CountedExchange exchange;
  std::optional<CountedExchange> placed;  // the same with experts by measured load
  std::optional<RecordedRows> recorded;   // nothing if picks are made up
  std::optional<CountedRun> run;
  std::uint64_t prompts = 0, failing_prompts = 0;  // of the run; failing ones would be failed rows and are not counted
  double step_seconds = 0, run_seconds = 0;        // that counting took
};

Simulated simulate(const SimulateOptions& options);
int run_simulate(const std::vector<std::string>& args);

}  // namespace moemill::bench
