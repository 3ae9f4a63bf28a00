// The long parts of the answer: the best layouts, those that were left out, and how the best plan's steps come about.
#pragma once

#include <string>
#include <vector>

#include "plan/answer/answer.hpp"

namespace moemill::estimate {

std::string plans_table(const Report& report, const std::vector<Plan>& plans);
std::string left_out_text(const Report& report);
// Both steps with every formula and its numbers.
std::string explanation(const Plan& plan, const Work& work);

}  // namespace moemill::estimate
