// The stages of a step, each as what it moves and computes and at which rates: what step.hpp adds up and what
// `moemill plan --explain` prints. Used by both, so that the numbers that are printed are those that are added.
#pragma once

#include "plan/estimate/exchange.hpp"
#include "plan/estimate/step.hpp"

namespace moemill::estimate {

// One or several kernels of a layer, for the rows of one micro-batch.
struct StageCost {
  double bytes = 0, bytes_per_second = 1;
  double operations = 0, operations_per_second = 1;
  double row_seconds = 0;     // which rows add to both
  double kernel_seconds = 0;  // starts and ends

  double memory_seconds() const { return bytes / bytes_per_second; }
  double arithmetic_seconds() const { return operations / operations_per_second; }
  double seconds() const;  // (memory^4 + arithmetic^4)^(1/4) + rows + kernels
};

struct Stages {
  StageCost small;                // half of the small kernels: once before the core and once behind it
  StageCost before, after;        // projections
  StageCost core, windowed_core;  // of a layer that sees everything, and of one with a window
  double windowed_share = 0;      // of the layers
  StageCost shared, experts, dense;
  Transfer dispatch, combine;
  StageCost head;  // all micro-batches together

  double core_seconds() const {
    return core.seconds() * (1 - windowed_share) + windowed_core.seconds() * windowed_share;
  }
};

Stages stages_of(const Setting& setting, const StepRows& rows);

}  // namespace moemill::estimate
