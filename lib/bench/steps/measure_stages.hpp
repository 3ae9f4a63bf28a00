// Runs a probe over rows and contexts and makes a calibration's curves of what it measures. Used by `bench calibrate`.
#pragma once

#include "bench/steps/step_probe.hpp"
#include "plan/calibration/calibration.hpp"

namespace moemill::bench {

struct StageGrid {
  std::uint32_t micro_batches = 1;
  std::uint32_t most_positions = 4096;  // of a sequence: the longest context
  double seconds_a_size = 0.3;          // about; a size is a number of rows with their context
};

// Collective.
calibration::Stages measure_stages(StepProbe& probe, const model::ModelConfig& config, const StageGrid& grid);
// The curves of two micro-batches; those of attention over contexts are the ones of `one`.
calibration::Stages measure_halves(StepProbe& probe, const model::ModelConfig& config, const StageGrid& grid,
                                   const calibration::Stages& one);

}  // namespace moemill::bench
