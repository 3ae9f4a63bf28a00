// What a rank's step holds, as its prediction wants to know it. Used by the loop at every step and by the dry run.
#pragma once

#include "plan/calibration/predict.hpp"
#include "schedule/scheduler.hpp"

namespace moemill::mill {

// Of the scheduler's step, between plan_step() and commit(). The rows of all ranks are left at 0: a rank does not know
// them. Allocates nothing.
calibration::StepFacts facts_of(const schedule::Scheduler& scheduler, const schedule::Step& step);

}  // namespace moemill::mill
