#include "plan/answer/costs.hpp"

#include <algorithm>

namespace moemill::estimate {

HoursOf hours_of(const Plan& plan, const Work& work) {
  HoursOf hours;
  const double computed_tokens = work.prompts * work.computed_tokens();
  const double prefill = computed_tokens / plan.prefill.rate.tokens_per_second / 3600;
  hours.computed = prefill;
  if (const double cached = work.cached_positions(); cached > 0) {
    // The same rows as prompts of their own.
    const Rate alone =
        prefill_rate(plan.setting(plan.prefill), plan.prefill.rows_per_gpu, work.prompt_tokens() - cached);
    hours.computed = std::min(prefill, computed_tokens / alone.tokens_per_second / 3600);
    hours.cached = prefill - hours.computed;
  }
  hours.decode = work.prompts * work.output.mean / plan.decode.rate.tokens_per_second / 3600;
  hours.tail = plan.tail_hours * plan.gpus;
  hours.load = plan.load_hours * plan.gpus;
  hours.roles = plan.gpu_hours() - hours.prefill() - hours.decode - hours.tail - hours.load;
  // Work that is shorter than its longest sequence: the GPUs wait for that one.
  if (!plan.is_split) hours.tail += hours.roles, hours.roles = 0;
  return hours;
}

MillionPrices million_prices(const Plan& plan, const Work& work) {
  const HoursOf hours = hours_of(plan, work);
  const auto of = [&](double gpu_hours, double tokens_of_prompt) {
    const double tokens = work.prompts * tokens_of_prompt;
    return tokens > 0 ? gpu_hours * plan.gpu_hour_price / (tokens / 1e6) : 0;
  };
  return {of(hours.computed, work.computed_tokens()), of(hours.cached, work.input.mean - work.computed_tokens()),
          of(hours.prefill(), work.input.mean), of(hours.decode, work.output.mean),
          of(plan.gpu_hours(), work.input.mean + work.output.mean)};
}

}  // namespace moemill::estimate
