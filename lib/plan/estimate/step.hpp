// The step model: the seconds of one step of a group of GPUs, by term, from the model's counts, a machine's data sheet,
// the efficiencies and a layout. Every GPU holds the same number of rows.
//
// The order of stages and what overlaps is that of DeepSeek's published profiles (profile-data, 2025-02) and of DeepEP;
// the constants are those of configs/efficiency.yaml, with their measurements.
//
// A kernel takes (memory^4 + arithmetic^4)^(1/4) + kernel_us: near one bound the other one hardly counts, and where
// they meet the kernel is 1.19 times slower than either. A layer has these stages:
//   a0  projections before the attention core, and half of the small kernels
//   a1  the core; the projections after it, and the other half
//   s   the shared expert
//   d   dispatch: rows to their experts
//   m   the routed experts; all slots' weights that any row touches: slots * (1 - (1 - k / experts)^rows)
//   c   combine: results back, in bf16
// One micro-batch: a0 + a1 + max(s, d) + m + c.
// Two, of half the rows each, per layer and for both, a = a0 + a1:
//   generated rows: 2 (max(s + a0, d) + m + max(a1, c))
//   prompt rows:    max(a + s, c) + max(a, d) + max(m, d) + max(m + s, c), where the exchange takes some of the
//   processors
// The step is all layers, layers without experts (a0 + a1 + MLP), the head, and `outside_layers` of the whole.
#pragma once

#include <array>

#include "model/config.hpp"
#include "model/layer_counts.hpp"
#include "plan/estimate/layout.hpp"
#include "plan/estimate/precision.hpp"

namespace moemill::estimate {

struct Setting {
  const model::ModelConfig& model;
  const Hardware& hardware;
  Precision precision;
  Layout layout;
};

// The rows of one GPU in a step.
struct StepRows {
  model::Pass pass = model::Pass::Generated;
  double rows = 0;
  // Prompt rows: the length of their prompts. Generated rows: the positions that each row sees.
  double context = 0;
  double rows_per_sequence = 1;  // generated rows that read the cache together, such as a draft and its check
  double cached = 0;             // positions of a prompt that a cache holds: its rows begin behind them and see them
};

enum class Term { Projections, Core, SharedExpert, RoutedExperts, Dispatch, Combine, DenseLayers, Head, OutsideLayers };
constexpr std::size_t terms = 9;
const char* name_of(Term term);

struct StepTime {
  std::array<double, terms> seconds_of{};  // by Term; small kernels count as projections
  double hidden_seconds = 0;               // the part of the terms that passes beside other ones

  double& operator[](Term term) { return seconds_of[static_cast<std::size_t>(term)]; }
  double operator[](Term term) const { return seconds_of[static_cast<std::size_t>(term)]; }
  double busy_seconds() const;                                              // sum of all terms
  double seconds() const { return busy_seconds() - hidden_seconds; }        // of the step
  double share(Term term) const { return (*this)[term] / busy_seconds(); }  // of all terms
  void add(const StepTime& other, double times);
};

// What a machine's own calibration says of a step, in place of its data sheet (Hardware::measured). Its owner outlives
// all settings that name it.
class MeasuredSteps {
 public:
  virtual ~MeasuredSteps() = default;
  virtual StepTime step(const Setting& setting, const StepRows& rows) const = 0;
};

StepTime predict_step(const Setting& setting, const StepRows& rows);

}  // namespace moemill::estimate
