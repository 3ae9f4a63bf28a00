// Tables of the answer: the best layouts, and those that were left out.
#pragma once

#include <string>
#include <vector>

#include "plan/answer/answer.hpp"

namespace moemill::estimate {

std::string plans_table(const Report& report, const std::vector<Plan>& plans);
std::string left_out_text(const Report& report);

}  // namespace moemill::estimate
