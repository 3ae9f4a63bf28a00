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

// Ranks wait for each other in each layer: those of a node for its busiest one, and all for the rank with most.
StepSeconds::Routed StepSeconds::routed_of(std::span<const StepShare> ranks) const {
  Routed out;
  double slowest = 0, work = 0, busiest_work = 0;
  for (const StepShare& rank : ranks) {
    const double seconds = predictor_.routed_seconds(rank.routed.pairs, rank.routed.touched);
    out.all += seconds, slowest = std::max(slowest, seconds);
    work += rank.routed.work, busiest_work += rank.routed.busiest_work;
  }
  const double mean = out.all / static_cast<double>(ranks.size());
  out.waiting = std::max(slowest - mean, work > 0 ? mean * (busiest_work / work - 1) : 0);
  return out;
}

void StepSeconds::add(schedule::Phase phase, std::span<const StepShare> ranks) {
  const auto count = static_cast<double>(ranks.size());
  double rows = 0, busy = 0, own = 0, slowest = 0, pairs = 0;
  for (const StepShare& rank : ranks) {
    rows += rank.rows, pairs += rank.routed.pairs, slowest = std::max(slowest, rank.own_seconds);
    if (rank.rows > 0) own += rank.own_seconds, ++busy;
  }
  // Routed experts and exchange are those of a rank with the mean of all rows: the experts of all ranks get rows of all
  // of them.
  calibration::StepFacts mean;
  mean.generated.rows = mean.generated.positions = rows / count;
  mean.rows_of_all_ranks = rows / count * domain_;
  const calibration::PredictedStep common = predictor_.predict(mean);
  const double exchange = std::max(0.0, common.exchange_seconds() - common.terms.hidden_seconds);
  const Routed known = pairs > 0 ? routed_of(ranks) : Routed{count * common.terms[Term::RoutedExperts], 0};
  const double routed = known.all / count, wall = slowest + routed + known.waiting + exchange;
  // Means over ranks: a rank without rows is idle for the whole step, the others compute or wait.
  const double computing = (own + busy * routed) / count;
  (phase == schedule::Phase::Prefill ? parts_.prefill : parts_.decode) += computing;
  parts_.exchange += busy / count * wall - computing;
  parts_.idle += (1 - busy / count) * wall;
}

}  // namespace moemill::mill
