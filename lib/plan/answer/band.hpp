// How sure a plan's cost is: the errors of published points that are like it. Used by the answer.
#pragma once

#include <string>
#include <vector>

#include "plan/answer/search.hpp"
#include "plan/proof/check.hpp"

namespace moemill::estimate {

// Costs are that much lower and higher: the 10 and 90 % errors of the published points of the same family of chips and
// phases.
struct Band {
  double low = 1, high = 1;  // factors of hours and cost
  std::string unchecked;     // why no point covers the plan; "" if some do
};
Band band_of(const Plan& plan, const std::vector<Checked>& checked);

}  // namespace moemill::estimate
