// The predicted seconds of a domain's steps, by part. Its ranks wait for each other in every step, so a step takes as
// long as its slowest rank. The loop sends each rank's share with its facts; the dry run adds the shares of its ranks.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "plan/calibration/predict.hpp"
#include "plan/forecast/part_seconds.hpp"
#include "schedule/facts.hpp"

namespace moemill::mill {

// What routing made of a step's rows on one rank, over all layers and micro-batches: pairs of a row and an expert that
// it computes, experts that got any, the cost of this work in rows (layers/dispatch/node_split.hpp), and that of the
// busiest rank of its node in each layer. A dry run has none.
struct RoutedRows {
  double pairs = 0, touched = 0, work = 0, busiest_work = 0;
};

// One for each number of micro-batches that steps may have, 1 or 2: with both, a step has what costs less, as
// parallel.micro_batches: auto comes to choose (schedule/micro_batches.hpp).
using StepPredictors = std::vector<calibration::StepPredictor>;

// A rank's share of a step: what it knows alone.
struct StepShare {
  // By predictor: all but routed experts and exchange, which depend on the rows of all the domain's ranks.
  std::array<double, 2> own_seconds{};
  double rows = 0;
  RoutedRows routed = {};
};
static_assert(std::is_trivially_copyable_v<StepShare>);

class StepSeconds {
 public:
  StepSeconds(StepPredictors predictors, std::uint32_t ranks_of_domain);

  StepShare share_of(const calibration::StepFacts& facts) const;
  // A step of all the domain's ranks; the order of the ranks does not matter. Allocates nothing.
  void add(schedule::Phase phase, std::span<const StepShare> ranks);
  const PartSeconds& parts() const { return parts_; }

 private:
  // Seconds of routed experts: those of all ranks, and how long the others wait for the slowest one of each layer.
  struct Routed {
    double all = 0, waiting = 0;
  };
  static Routed routed_of(const calibration::StepPredictor& predictor, std::span<const StepShare> ranks);
  // The step by one of the predictors.
  PartSeconds parts_of(std::size_t predictor, schedule::Phase phase, std::span<const StepShare> ranks) const;

  StepPredictors predictors_;
  double domain_;
  PartSeconds parts_;
};

}  // namespace moemill::mill
