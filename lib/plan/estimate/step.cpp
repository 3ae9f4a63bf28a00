#include "plan/estimate/step.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "plan/estimate/stages.hpp"

namespace moemill::estimate {
namespace {

using model::Pass;

// Seconds of the stages of one layer, for the rows of one micro-batch.
struct LayerTimes {
  double before = 0, core = 0, after = 0, shared = 0, experts = 0, dispatch = 0, combine = 0, dense = 0;

  explicit LayerTimes(const Stages& s)
      : before(s.before.seconds() + s.small.seconds()),
        core(s.core_seconds()),
        after(s.after.seconds() + s.small.seconds()),
        shared(s.shared.seconds()),
        experts(s.experts.seconds()),
        dispatch(s.dispatch.seconds()),
        combine(s.combine.seconds()),
        dense(s.dense.seconds()) {}
};

// A layer with experts, for all micro-batches, as at the top of step.hpp.
double layer_seconds(const LayerTimes& t, const Layout& layout, Pass pass) {
  const double a0 = t.before, a1 = t.core + t.after, a = a0 + a1;
  if (layout.micro_batches == 1) return a + std::max(t.shared, t.dispatch) + t.experts + t.combine;
  if (pass == Pass::Generated) return 2 * (std::max(t.shared + a0, t.dispatch) + t.experts + std::max(a1, t.combine));
  return std::max(a + t.shared, t.combine) + std::max(a, t.dispatch) + std::max(t.experts, t.dispatch) +
         std::max(t.experts + t.shared, t.combine);
}

StepTime from_data_sheet(const Setting& setting, const StepRows& rows) {
  const Stages stages = stages_of(setting, rows);
  const LayerTimes t(stages);
  const model::LayerCounts counts = model::count_layers(setting.model);
  const double batches = setting.layout.micro_batches;
  const double moe = counts.moe_layers, dense = counts.dense_layers;
  StepTime time;
  time[Term::Projections] = (moe + dense) * batches * (t.before + t.after);
  time[Term::Core] = (moe + dense) * batches * t.core;
  time[Term::SharedExpert] = moe * batches * t.shared;
  time[Term::RoutedExperts] = moe * batches * t.experts;
  time[Term::Dispatch] = moe * batches * t.dispatch;
  time[Term::Combine] = moe * batches * t.combine;
  time[Term::DenseLayers] = dense * batches * t.dense;
  time[Term::Head] = stages.head.seconds();
  const double in_layers = moe * layer_seconds(t, setting.layout, rows.pass) +
                           dense * batches * (t.before + t.core + t.after + t.dense) + time[Term::Head];
  time.hidden_seconds = std::max(0.0, time.busy_seconds() - in_layers);
  const double outside = setting.hardware.efficiencies.outside_layers;
  time[Term::OutsideLayers] = in_layers * outside / (1 - outside);
  return time;
}

}  // namespace

const char* name_of(Term term) {
  constexpr const char* names[terms] = {"projections", "attention core", "shared expert", "experts",       "dispatch",
                                        "combine",     "dense layers",   "head",          "outside layers"};
  return names[static_cast<std::size_t>(term)];
}

double StepTime::busy_seconds() const {
  double sum = 0;
  for (double seconds : seconds_of) sum += seconds;
  return sum;
}

void StepTime::add(const StepTime& other, double times) {
  for (std::size_t i = 0; i < terms; ++i) seconds_of[i] += other.seconds_of[i] * times;
  hidden_seconds += other.hidden_seconds * times;
}

StepTime predict_step(const Setting& setting, const StepRows& rows) {
  expect(rows.rows > 0 && rows.context > 0 && rows.rows_per_sequence > 0, "a step has rows, and rows see positions");
  expect(rows.cached >= 0 && rows.cached < rows.context, "a prompt's last row is computed");
  return setting.hardware.measured ? setting.hardware.measured->step(setting, rows) : from_data_sheet(setting, rows);
}

}  // namespace moemill::estimate
