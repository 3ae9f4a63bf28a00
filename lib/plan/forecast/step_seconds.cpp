#include "plan/forecast/step_seconds.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "schedule/micro_batches.hpp"

namespace moemill::mill {

using estimate::Term;

StepSeconds::StepSeconds(StepPredictors predictors, std::uint32_t ranks_of_domain)
    : predictors_(std::move(predictors)), domain_(ranks_of_domain) {
  expect(predictors_.size() == 1 || predictors_.size() == 2, "steps are predicted for one or two micro-batches");
}

StepShare StepSeconds::share_of(const calibration::StepFacts& facts) const {
  const double rows = facts.prompt.rows + facts.generated.rows;
  calibration::StepFacts known = facts;
  known.rows_of_all_ranks = rows * domain_;
  StepShare share{.rows = rows};
  for (std::size_t p = 0; p < predictors_.size(); ++p) {
    const calibration::PredictedStep step = predictors_[p].predict(known);
    share.own_seconds[p] =
        step.terms.busy_seconds() - step.terms[Term::RoutedExperts] - step.exchange_seconds() + step.drawing_seconds;
  }
  return share;
}

// Ranks wait for each other in each layer: those of a node for its busiest one, and all for the rank with most.
StepSeconds::Routed StepSeconds::routed_of(const calibration::StepPredictor& predictor,
                                           std::span<const StepShare> ranks) {
  Routed out;
  double slowest = 0, work = 0, busiest_work = 0;
  for (const StepShare& rank : ranks) {
    const double seconds = predictor.routed_seconds(rank.routed.pairs, rank.routed.touched);
    out.all += seconds, slowest = std::max(slowest, seconds);
    work += rank.routed.work, busiest_work += rank.routed.busiest_work;
  }
  const double mean = out.all / static_cast<double>(ranks.size());
  out.waiting = std::max(slowest - mean, work > 0 ? mean * (busiest_work / work - 1) : 0);
  return out;
}

void StepSeconds::add(schedule::Phase phase, std::span<const StepShare> ranks) {
  PartSeconds step = parts_of(0, phase, ranks);
  if (predictors_.size() == 2) {
    const PartSeconds two = parts_of(1, phase, ranks);
    if (two.wall() < (1 - schedule::least_micro_batch_gain) * step.wall()) step = two;
  }
  parts_ += step;
}

PartSeconds StepSeconds::parts_of(std::size_t which, schedule::Phase phase, std::span<const StepShare> ranks) const {
  const calibration::StepPredictor& predictor = predictors_[which];
  const auto count = static_cast<double>(ranks.size());
  double rows = 0, busy = 0, own = 0, slowest = 0, pairs = 0;
  for (const StepShare& rank : ranks) {
    rows += rank.rows, pairs += rank.routed.pairs, slowest = std::max(slowest, rank.own_seconds[which]);
    if (rank.rows > 0) own += rank.own_seconds[which], ++busy;
  }
  // Routed experts and exchange are those of a rank with the mean of all rows: the experts of all ranks get rows of all
  // of them.
  calibration::StepFacts mean;
  mean.generated.rows = mean.generated.positions = rows / count;
  mean.rows_of_all_ranks = rows / count * domain_;
  const calibration::PredictedStep common = predictor.predict(mean);
  const double exchange = std::max(0.0, common.exchange_seconds() - common.terms.hidden_seconds);
  const Routed known = pairs > 0 ? routed_of(predictor, ranks) : Routed{count * common.terms[Term::RoutedExperts], 0};
  const double routed = known.all / count, wall = slowest + routed + known.waiting + exchange;
  // Means over ranks: a rank without rows is idle for the whole step, the others compute or wait.
  const double computing = (own + busy * routed) / count;
  PartSeconds parts;
  (phase == schedule::Phase::Prefill ? parts.prefill : parts.decode) = computing;
  parts.exchange = busy / count * wall - computing;
  parts.idle = (1 - busy / count) * wall;
  return parts;
}

}  // namespace moemill::mill
