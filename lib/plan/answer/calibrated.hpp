// A machine of `kind: cpu`, whose steps come from its own calibration instead of a data sheet. One of its "GPUs" is a
// rank. Used by the command `plan`.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "plan/calibration/predict.hpp"
#include "plan/estimate/hardware.hpp"
#include "plan/estimate/step.hpp"

namespace moemill::estimate {

class CalibratedSteps : public MeasuredSteps {
 public:
  CalibratedSteps(calibration::Calibration calibration, const model::ModelConfig& model)
      : calibration_(std::move(calibration)), model_(model) {}

  // A step of prompts alone or of answers alone; `setting` is of the same model. Drawing counts as the head.
  StepTime step(const Setting& setting, const StepRows& rows) const override;
  const calibration::Calibration& calibration() const { return calibration_; }

 private:
  const calibration::StepPredictor& predictor(const Layout& layout) const;

  calibration::Calibration calibration_;
  const model::ModelConfig& model_;
  // By ranks and micro-batches.
  mutable std::map<std::pair<std::uint32_t, std::uint32_t>, calibration::StepPredictor> predictors_;
};

// The machine with the ranks, threads and rates of its calibration.
Hardware calibrated(Hardware machine, const CalibratedSteps& steps);
// What was measured, in a line for the answer.
std::string calibration_text(const CalibratedSteps& steps);

}  // namespace moemill::estimate
