// The predicted seconds of a domain's steps, by part. Its ranks wait for each other in every step, so a step takes as
// long as its slowest rank. The loop sends each rank's share with its facts; the dry run adds the shares of its ranks.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "plan/calibration/predict.hpp"
#include "plan/forecast/part_seconds.hpp"
#include "schedule/facts.hpp"

namespace moemill::mill {

// A rank's share of a step: what it can predict alone.
struct StepShare {
  double own_seconds = 0;  // all but routed experts and exchange, which depend on the rows of all the domain's ranks
  double rows = 0;
};
static_assert(std::is_trivially_copyable_v<StepShare>);

class StepSeconds {
 public:
  StepSeconds(const calibration::StepPredictor& predictor, std::uint32_t ranks_of_domain)
      : predictor_(predictor), domain_(ranks_of_domain) {}

  StepShare share_of(const calibration::StepFacts& facts) const;
  // A step of all the domain's ranks; the order of the ranks does not matter. Allocates nothing.
  void add(schedule::Phase phase, std::span<const StepShare> ranks);
  const PartSeconds& parts() const { return parts_; }

 private:
  calibration::StepPredictor predictor_;
  double domain_;
  PartSeconds parts_;
};

}  // namespace moemill::mill
