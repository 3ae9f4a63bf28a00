#include "plan/answer/answer.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "plan/answer/bound.hpp"
#include "plan/answer/costs.hpp"
#include "plan/answer/launch.hpp"
#include "plan/answer/tables.hpp"
#include "plan/answer/words.hpp"
#include "plan/estimate/number_text.hpp"

namespace moemill::estimate {
namespace {

std::string first_line(const Question& question, const Plan& plan, const Band& band) {
  const Work& w = question.work;
  std::string text =
      fmt::format("{} {} ({} + {} tokens): {} on {}{} {} ({})", whole(w.prompts), w.prompts == 1 ? "prompt" : "prompts",
                  whole(w.input.mean), whole(w.output.mean), hours_text(plan.hours), thousands(plan.gpus),
                  !plan.hardware->measured ? ""
                  : plan.gpus == 1         ? " rank of"
                                           : " ranks of",
                  plan.hardware->name, counted(plan.nodes(), "node", "nodes"));
  if (!plan.is_priced) return text + ", no price is known: give --hour-price";
  return text + fmt::format(", {} {} ({} to {}) {}", money(plan.cost()), currency_of(question, plan),
                            money(plan.cost() * band.low), money(plan.cost() * band.high), price_text(question, plan));
}

std::string shares_text(const StepTime& time) {
  std::string text;
  for (std::size_t i = 0; i < terms; ++i)
    if (const Term term = static_cast<Term>(i); time.share(term) >= 0.005)
      text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", name_of(term), 100 * time.share(term));
  return text;
}

std::string phase_text(const char* name, const Plan& plan, const PhasePlan& phase, const char* bound) {
  const char* unit = unit_word(plan);
  return fmt::format("{}: {:.0f} x {}; {:.0f} rows a {}, a step of {:.1f} ms, {} tokens/s a {}\n  {}; bound: {}\n",
                     name, phase.groups, layout_text(phase.layout, plan), phase.rows_per_gpu, unit,
                     1e3 * phase.rate.time.seconds(), whole(phase.rate.tokens_per_second), unit,
                     shares_text(phase.rate.time), bound);
}

std::string phases_text(const Plan& plan, const Work& work) {
  std::string text;
  if (work.computed_tokens() > 0)
    text += phase_text("prefill", plan, plan.prefill, bound_of(plan, work, WorkPart::Prompts));
  text += phase_text("decode", plan, plan.decode, bound_of(plan, work, WorkPart::Answers));
  if (!plan.is_split) return text + fmt::format("both phases run on the same {}s, in turn\n", unit_word(plan));
  const double spare = plan.gpus - plan.prefill.gpus() - plan.decode.gpus();
  text += "the phases have GPUs of their own";
  return text + (spare > 0 ? fmt::format(", {:.0f} are left over\n", spare) : "\n");
}

std::string bound_text(const Plan& plan, const Work& work) {
  const auto gains = sensitivities(plan, work);
  if (gains.empty()) return "";
  std::string text = fmt::format("bound: {}; with 20 % more the work takes less time by:", gains.front().first);
  for (const auto& gain : gains) text += fmt::format(" {} {:.1f} %,", gain.first, 100 * gain.second);
  text.back() = '\n';
  return text;
}

std::string costs_text(const Question& question, const Plan& plan) {
  const HoursOf hours = hours_of(plan, question.work);
  std::string text = fmt::format(
      "{}-hours: prefill {}, decode {}, idle {} (last sequences {}, the other phase {}), loading of weights {}; all "
      "{}\n",
      unit_word(plan), money(hours.prefill()), money(hours.decode), money(hours.tail + hours.roles), money(hours.tail),
      money(hours.roles), money(hours.load), money(plan.gpu_hours()));
  if (plan.hardware->power_watts)
    text += fmt::format("energy: {} kWh\n", money(plan.gpu_hours() * *plan.hardware->power_watts / 1000));
  if (!plan.is_priced) return text;
  const MillionPrices prices = million_prices(plan, question.work);
  text += fmt::format(
      "{} per million tokens: computed input {:.4g}, cached input {:.4g}, all input {:.4g}, output {:.4g}, everything "
      "with idle and loading {:.4g}\n",
      currency_of(question, plan), prices.computed, prices.cached, prices.input, prices.output, prices.all);
  return text;
}

std::string launch_text(const Plan& plan) {
  std::string text = "for run.yaml:\n" + parallel_block(plan);
  const std::string line = launch_line(plan);
  if (!line.empty()) return text + line + "\n";
  return text + "moemill has no GPU backend yet, so no command starts this\n";
}

std::string without_a_plan(const Report& report) {
  std::string text;
  if (report.search.beyond.empty())
    text = "no layout is possible on these GPUs\n";
  else
    text = "no layout keeps all limits; the cheapest of each machine and number of GPUs without them:\n" +
           plans_table(report, report.search.beyond);
  text += left_out_text(report) + report.ceiling;
  if (report.easier.empty()) return text + "nothing that was tried would\n";
  text += "what would:\n";
  for (const auto& [name, line] : report.easier) text += fmt::format("{}: {}\n", name, line);
  return text;
}

}  // namespace

std::string best_text(const Question& question, const Search& search, const std::vector<Checked>& checked) {
  expect(!search.plans.empty(), "there is a plan");
  return first_line(question, search.plans.front(), band_of(search.plans.front(), checked));
}

std::string speed_text(const Plan& plan) {
  return plan.hardware->measured ? "this machine, calibrated"
                                 : "published kernels of other programs, not moemill's own";
}

std::string answer_text(const Report& report) {
  if (report.search.plans.empty()) return without_a_plan(report);
  const Question& question = report.question;
  const Plan& best = report.search.plans.front();
  const Band band = band_of(best, report.checked);
  std::string text = first_line(question, best, band) + "\n";
  text +=
      fmt::format("speed: {}{}\n", speed_text(best), band.unchecked.empty() ? "" : "; unchecked: " + band.unchecked);
  text += fmt::format("precision: {}; {:.1f} tokens/s a user\n", precision_text(best.precision),
                      best.user_tokens_per_second);
  text += phases_text(best, question.work) + bound_text(best, question.work) + costs_text(question, best);
  text += launch_text(best);
  if (report.detail == Detail::Explained) text += explanation(best, question.work);
  text += "best layout of each machine and number of GPUs:\n" + plans_table(report, report.search.plans);
  if (!report.search.beyond.empty())
    text += "beyond the limits asked for:\n" + plans_table(report, report.search.beyond);
  if (!report.imagined.empty())
    text += "if one domain of fast links joined all GPUs of these machines:\n" + plans_table(report, report.imagined);
  text += left_out_text(report) + report.ceiling;
  for (const std::string& note : report.notes) text += note + "\n";
  for (const PlanCurve& curve : report.curves) text += curve_text(curve);
  return text;
}

}  // namespace moemill::estimate
