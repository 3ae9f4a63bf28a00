// Where the GPU-hours of a plan go, and what a million tokens of each kind cost. Used by the answer in both of its
// forms and by curves.
#pragma once

#include "plan/answer/search.hpp"

namespace moemill::estimate {

// GPU-hours, which add up to those of the plan.
struct HoursOf {
  double computed = 0;  // prompt tokens that are computed, without what follows
  double cached = 0;    // what they take longer because they see positions that a cache holds
  double decode = 0;
  double tail = 0;   // idle while the last sequences end
  double roles = 0;  // idle while the other phase is slower, and GPUs beyond whole groups
  double load = 0;

  double prefill() const { return computed + cached; }
};
HoursOf hours_of(const Plan& plan, const Work& work);

// In the currency of the plan's price. Without idle hours but for `all`, which has everything.
struct MillionPrices {
  double computed = 0, cached = 0, input = 0, output = 0, all = 0;
};
MillionPrices million_prices(const Plan& plan, const Work& work);

}  // namespace moemill::estimate
