#include "plan/forecast/step_facts.hpp"

namespace moemill::mill {

calibration::StepFacts facts_of(const schedule::Scheduler& scheduler, const schedule::Step& step) {
  calibration::StepFacts facts;
  for (const schedule::Segment& segment : step.segments) {
    calibration::RowsSeen& of = segment.kind == schedule::RowKind::Prompt ? facts.prompt : facts.generated;
    const double rows = segment.rows;
    of.rows += rows;
    of.positions += rows * segment.first_position + rows * (rows + 1) / 2;
  }
  for (const schedule::LogitUse& use : scheduler.uses()) {
    const bool scores = use.purpose == schedule::LogitPurpose::PromptLogprob;
    const auto how =
        scores ? calibration::Drawing::Score : calibration::drawing_of(scheduler.sequence(use.slot).prompt->params);
    facts.drawn[static_cast<std::size_t>(how)] += 1;
  }
  return facts;
}

}  // namespace moemill::mill
