// What limits a plan: how much less time its work would take if a figure of the machine were better. Used by the answer
// and by curves.
#pragma once

#include <utility>
#include <vector>

#include "plan/answer/search.hpp"

namespace moemill::estimate {

enum class WorkPart { Prompts, Answers, Both };

// Shares of the time, such as 0.05, that 20 % more of each figure saves, most first: the first figure is the bound.
// Empty for a machine that was calibrated, whose figures are not known.
std::vector<std::pair<const char*, double>> sensitivities(const Plan& plan, const Work& work,
                                                          WorkPart part = WorkPart::Both);
// The bound's name; for a calibrated machine that of the longest term.
const char* bound_of(const Plan& plan, const Work& work, WorkPart part = WorkPart::Both);

}  // namespace moemill::estimate
