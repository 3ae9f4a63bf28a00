#include "plan/answer/words.hpp"

#include <fmt/format.h>

#include "plan/estimate/number_text.hpp"

namespace moemill::estimate {

std::string hours_text(double hours) {
  if (hours < 1.0 / 3600) return fmt::format("{:.2g} s", 3600 * hours);
  if (hours < 1.0 / 60) return fmt::format("{:.1f} s", 3600 * hours);
  if (hours < 1) return fmt::format("{:.1f} min", 60 * hours);
  return hours < 1000 ? fmt::format("{:.1f} h", hours) : whole(hours) + " h";
}

std::string money(double value) {
  if (value > 0 && value < 0.1) return fmt::format("{:.2g}", value);
  return value < 100 ? fmt::format("{:.2f}", value) : whole(value);
}

std::string currency_of(const Question& question, const Plan& plan) {
  return question.hour_price ? question.currency : plan.hardware->price->currency;
}

const char* unit_word(const Plan& plan) { return plan.hardware->measured ? "rank" : "GPU"; }

std::string price_text(const Question& question, const Plan& plan) {
  if (plan.hardware->measured) {
    const auto& price = plan.hardware->price;
    return fmt::format("at {} {}/{}-hour ({})", money(question.hour_price ? *question.hour_price : price->per_hour),
                       currency_of(question, plan), question.hour_price ? "node" : price->unit,
                       question.hour_price ? "as asked" : price->date);
  }
  return fmt::format("at {} {}/GPU-hour ({})", money(plan.gpu_hour_price), currency_of(question, plan),
                     question.hour_price ? "as asked" : plan.hardware->price->date);
}

std::string layout_text(const Layout& layout, const Plan& plan) {
  constexpr const char* exchanges[] = {"every copy", "once a node", "once a GPU", "all-gather"};
  const char* unit = unit_word(plan);
  std::string text = layout.gpus == 1 ? fmt::format("whole model on each {}", unit)
                                      : fmt::format("experts over {} {}s", layout.gpus, unit);
  if (layout.gpus > 1 && !plan.hardware->measured)
    text += fmt::format(", exchange {}", exchanges[static_cast<std::size_t>(layout.exchange)]);
  if (layout.micro_batches == 2) text += ", two micro-batches";
  if (layout.redundant_experts > 0 && !plan.hardware->measured)
    text += fmt::format(", {} redundant experts", layout.redundant_experts);
  return text;
}

std::string group_text(const Layout& layout) {
  return fmt::format("EP{}{}", layout.gpus, layout.micro_batches == 2 ? " x2" : "");
}

std::string precision_text(const Precision& precision) {
  return fmt::format("{} weights, {} projections, {} cache", name_of(precision.weights), name_of(precision.projections),
                     precision.cache == CacheFormat::Fp8 ? "fp8" : "bf16");
}

}  // namespace moemill::estimate
