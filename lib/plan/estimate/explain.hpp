// A step of the model line by line: every stage's formula with its numbers, and how they add up. For
// `moemill plan --explain`.
#pragma once

#include <string>

#include "plan/estimate/step.hpp"

namespace moemill::estimate {

// Empty lines and headings are the caller's; each line begins with two blanks. A step that was predicted from a
// machine's calibration has its terms alone.
std::string explain_step(const Setting& setting, const StepRows& rows);

}  // namespace moemill::estimate
