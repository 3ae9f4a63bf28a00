#include "plan/answer/bound.hpp"

#include <algorithm>

namespace moemill::estimate {
namespace {

constexpr double better = 1.2;

void raise(std::optional<double>& rate) {
  if (rate) *rate *= better;
}

struct BetterFigure {
  const char* figure;
  void (*apply)(Hardware&);
};
constexpr BetterFigure better_figures[] = {
    {"memory rate", [](Hardware& h) { h.memory_bytes_per_second *= better; }},
    {"bf16 peak", [](Hardware& h) { raise(h.bf16_flops); }},
    {"peak of lower precision", [](Hardware& h) { raise(h.fp8_flops), raise(h.int8_ops), raise(h.fp4_flops); }},
    {"scale-up link", [](Hardware& h) { h.scale_up_bytes_per_second *= better; }},
    {"network", [](Hardware& h) { raise(h.network_bytes_per_second); }},
    {"kernel starts and latencies",
     [](Hardware& h) {
       Efficiencies& e = h.efficiencies;
       e.kernel_us /= better, e.scale_up_latency_us /= better, e.network_latency_us /= better;
     }},
};

// GPU-seconds of a prompt in these parts of the plan, on this machine.
double seconds_of_prompt(const Plan& plan, const Work& work, const Hardware& hardware, WorkPart part) {
  const Setting prefill{*plan.model, hardware, plan.precision, plan.prefill.layout};
  const Setting decode{*plan.model, hardware, plan.precision, plan.decode.layout};
  double seconds = 0;
  if (part != WorkPart::Answers)
    seconds += work.computed_tokens() /
               prefill_rate(prefill, plan.prefill.rows_per_gpu, work.prompt_tokens(), work.cached_positions())
                   .tokens_per_second;
  if (part != WorkPart::Prompts)
    seconds += work.output.mean / decode_rate(decode, {plan.decode.rows_per_gpu, work.context()}).tokens_per_second;
  return seconds;
}

}  // namespace

std::vector<std::pair<const char*, double>> sensitivities(const Plan& plan, const Work& work, WorkPart part) {
  std::vector<std::pair<const char*, double>> gains;
  if (plan.hardware->measured) return gains;
  const double now = seconds_of_prompt(plan, work, *plan.hardware, part);
  for (const BetterFigure& change : better_figures) {
    Hardware machine = *plan.hardware;
    change.apply(machine);
    gains.emplace_back(change.figure, now > 0 ? 1 - seconds_of_prompt(plan, work, machine, part) / now : 0);
  }
  std::stable_sort(gains.begin(), gains.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return gains;
}

const char* bound_of(const Plan& plan, const Work& work, WorkPart part) {
  const auto gains = sensitivities(plan, work, part);
  if (!gains.empty()) return gains.front().first;
  const PhasePlan& phase = part == WorkPart::Prompts ? plan.prefill : plan.decode;
  std::size_t longest = 0;
  for (std::size_t i = 1; i < terms; ++i)
    if (phase.rate.time.seconds_of[i] > phase.rate.time.seconds_of[longest]) longest = i;
  return name_of(static_cast<Term>(longest));
}

}  // namespace moemill::estimate
