// The answer of `moemill plan` as text: the best plan in one line, then what it is made of.
#pragma once

#include <string>
#include <utility>
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

// How much less time the plan's phases would take if a figure of the machine were 20 % better, most first; the first
// one is the plan's bound. Shares of the time, such as 0.05.
std::vector<std::pair<const char*, double>> sensitivities(const Plan& plan, const Work& work);

// The best plan in one line; there must be one.
std::string best_text(const Question& question, const Search& search, const std::vector<Checked>& checked);
// How many rows of a machine the table has: its cheapest, or all.
enum class Listing { Best, All };
// The first line is that line. Without a plan that keeps the limits: the cheapest that do not.
std::string answer_text(const Question& question, const Search& search, const std::vector<Checked>& checked,
                        Listing listing);

}  // namespace moemill::estimate
