// What a calibration predicts for the step of `bench decode` or `bench prefill`, beside what the step took. Used by
// bench/end_to_end_bench.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

#include "base/passes.hpp"
#include "bench/step_needs.hpp"
#include "plan/calibration/predict.hpp"

namespace moemill::bench {

struct Comparison {
  calibration::PredictedStep predicted;  // of the rank with the most rows
  double measured_seconds = 0;
  PassSeconds measured{};  // rank 0's seconds of the same step
  std::vector<std::string> warnings;

  // How much longer the step took, as in summary.json: 0.05 is 5 %.
  double error() const { return measured_seconds / predicted.seconds() - 1; }
};

calibration::PredictedStep predict_step(const calibration::Calibration& calibration, const model::ModelConfig& config,
                                        calibration::StepLayout layout, const StepShape& shape,
                                        const SamplingParams& sampling);

void print_text(const Comparison& comparison);
void put(nlohmann::ordered_json& out, const Comparison& comparison);

}  // namespace moemill::bench
