#include "plan/forecast/step_seconds.hpp"

#include <algorithm>

namespace moemill::mill {

using estimate::Term;

StepShare StepSeconds::share_of(const calibration::StepFacts& facts) const {
  const double rows = facts.prompt.rows + facts.generated.rows;
  calibration::StepFacts known = facts;
  known.rows_of_all_ranks = rows * domain_;
  const calibration::PredictedStep step = predictor_.predict(known);
  return {step.terms.busy_seconds() - step.terms[Term::RoutedExperts] - step.exchange_seconds() + step.drawing_seconds,
          rows};
}

void StepSeconds::add(schedule::Phase phase, std::span<const StepShare> ranks) {
  const auto count = static_cast<double>(ranks.size());
  double rows = 0, busy = 0, own = 0, slowest = 0;
  for (const StepShare& rank : ranks) {
    rows += rank.rows, slowest = std::max(slowest, rank.own_seconds);
    if (rank.rows > 0) own += rank.own_seconds, ++busy;
  }
  // Routed experts and exchange are those of a rank with the mean of all rows: the experts of all ranks get rows of all
  // of them.
  calibration::StepFacts mean;
  mean.generated.rows = mean.generated.positions = rows / count;
  mean.rows_of_all_ranks = rows / count * domain_;
  const calibration::PredictedStep common = predictor_.predict(mean);
  const double exchange = std::max(0.0, common.exchange_seconds() - common.terms.hidden_seconds);
  const double routed = common.terms[Term::RoutedExperts], wall = slowest + routed + exchange;
  // Means over ranks: a rank without rows is idle for the whole step, the others compute or wait.
  const double computing = (own + busy * routed) / count;
  (phase == schedule::Phase::Prefill ? parts_.prefill : parts_.decode) += computing;
  parts_.exchange += busy / count * wall - computing;
  parts_.idle += (1 - busy / count) * wall;
}

}  // namespace moemill::mill
