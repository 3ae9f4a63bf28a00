// The seconds of a step on this machine, from its calibration and from what the step holds. A run makes one
// StepPredictor and asks it at every step; planning asks it for steps that a scheduler has made of lengths alone.
//
// A stage takes its measured seconds at the step's rows (curve.hpp says how they are interpolated):
//   projections, small kernels, dense and shared MLPs    at the rows of the rank
//   core        generated rows: seconds of so many rows at the first context, times the share of a row's seconds at
//               their mean context in those at the first; prompt rows: rows times the seconds of a row at their mean
//               context
//   routed      touched * seconds of an expert at pairs / touched rows, where pairs are the picks that this rank
//   computes
//               and touched = experts of the rank * (1 - (1 - picks / experts)^rows of all ranks), unless the step says
//               it
//   exchange    at the mean rows of all ranks
//   head        at the rows whose logits are wanted; drawing: a row's seconds by kind of sampling
// Another model's stages take the measured seconds times the ratio of their work: the same share of the peak.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "plan/calibration/calibration.hpp"
#include "plan/estimate/step.hpp"

namespace moemill::calibration {

// Of a job, the same in all its steps.
struct StepLayout {
  std::uint32_t ranks = 1;  // that share the experts
  std::uint32_t micro_batches = 1;
};

// Rows of one kind, and the sum of their contexts.
struct RowsSeen {
  double rows = 0;
  double positions = 0;
};

// What a step holds on one rank.
struct StepFacts {
  RowsSeen prompt, generated;
  std::array<double, drawings> drawn{};  // rows by Drawing; each has its logits computed
  double rows_of_all_ranks = 0;
  double experts_touched = 0;  // of this rank, the mean of its layers; 0: as even routing would
};

struct PredictedStep {
  estimate::StepTime terms;  // small kernels count as projections
  double drawing_seconds = 0;

  double exchange_seconds() const { return terms[estimate::Term::Dispatch] + terms[estimate::Term::Combine]; }
  double seconds() const { return terms.seconds() + drawing_seconds; }
  void add(const PredictedStep& other);
};

class StepPredictor {
 public:
  StepPredictor(const Calibration& calibration, const model::ModelConfig& config, StepLayout layout);
  // Allocates nothing.
  PredictedStep predict(const StepFacts& facts) const;
  // Routed experts, whose pairs of a row and an expert were counted over all layers and micro-batches of a rank, and
  // how many of its experts got any.
  double routed_seconds(double pairs, double touched) const;

 private:
  void add_layers(const StepFacts& facts, estimate::StepTime& out) const;
  double projections(const StepFacts& facts, double rows) const;
  double core(const StepFacts& facts) const;
  double routed(const StepFacts& facts) const;

  StepLayout layout_;
  ModelShape shape_;
  Stages stages_;  // of the wanted model and micro-batches
  std::array<double, drawings> drawing_seconds_a_row_{};
  double agreeing_seconds_ = 0;
  double experts_of_rank_ = 0;
};

// Where a prediction is made.
struct Circumstances {
  std::string cpu, isa;
  Arithmetic arithmetic = Arithmetic::Bf16;
  std::uint32_t ranks = 1, threads_per_rank = 1, nodes = 1;
  std::uint32_t micro_batches = 1;
};
// What holds wherever the calibration is used: other programs took the cores while it was made, a model's seconds
// follow from another model's. A line each.
std::vector<std::string> warnings(const Calibration& calibration, const model::ModelConfig& config,
                                  std::uint32_t micro_batches);
// And one line for each circumstance that differs from the calibration's, by its name.
std::vector<std::string> warnings(const Calibration& calibration, const model::ModelConfig& config,
                                  const Circumstances& now);

}  // namespace moemill::calibration
