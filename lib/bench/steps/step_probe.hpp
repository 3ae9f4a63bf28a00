// Times whole steps of a model with random weights, stage by stage, on all ranks of the launch at the same time. Used
// by `bench calibrate`.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>

#include "bench/steps/made_step.hpp"
#include "kernels/cpu/stream.hpp"
#include "model/config.hpp"
#include "plan/calibration/calibration.hpp"
#include "schedule/step.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

// The step of one rank; all ranks have the same.
struct ProbeStep {
  schedule::RowKind kind = schedule::RowKind::Generated;
  std::uint32_t sequences = 0;
  std::uint32_t context = 0;  // generated rows: positions of a sequence, the new one included; prompts: their length

  std::uint32_t rows() const { return kind == schedule::RowKind::Prompt ? sequences * context : sequences; }
  double mean_context() const { return kind == schedule::RowKind::Prompt ? (context + 1) / 2.0 : context; }
  friend bool operator==(const ProbeStep&, const ProbeStep&) = default;
};

// Seconds of one step, the mean of some steps and of all ranks.
struct StepSeconds {
  double whole = 0;
  double projections = 0, core = 0, small = 0;   // of all layers
  double dense = 0, shared = 0;                  // of all layers; dense ones of the shared experts' width are in shared
  double routed = 0, dispatch = 0, combine = 0;  // of all layers with experts
  double head = 0, drawing = 0;
  double on_core = 0;             // in which the rank's thread had a core
  double outside = 0;             // what is none of these
  double touched = 0, pairs = 0;  // of all layers with experts and all micro-batches of a rank
};

// What a probe needs to know of the job.
struct ProbeJob {
  std::string model_dir;
  const model::ModelConfig& config;
  cpu::Isa isa;
  int threads;
  std::span<const int> node_of_rank;
};

class StepProbe {
 public:
  // Loads the weights. `config` is cut to size and outlives the probe.
  StepProbe(const ProbeJob& job, const Comm& world);
  ~StepProbe();

  // Working memory for steps of at most `most_rows`.
  struct Cache {
    std::uint32_t pages;
    std::uint64_t most_bytes;  // fewer pages if they take more, but one sequence of most_positions
  };
  void prepare(std::uint32_t micro_batches, std::uint32_t most_rows, std::uint32_t most_positions, Cache cache);
  // Sequences of so many positions that the cache holds.
  std::uint32_t sequences_that_fit(std::uint32_t positions) const;
  // The mean of the faster half of some steps: as many as take about `seconds`, one to thirty. Other programs on the
  // machine make steps slower, never faster.
  StepSeconds measure(const ProbeStep& step, double seconds);
  // The largest of the ranks' values.
  double slowest(double mine) const;
  // Draws for the last step's rows: seconds a row.
  std::array<double, calibration::drawings> measure_drawings(std::uint32_t rows);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moemill::bench
