#include "commands/plan.hpp"

#include <fmt/format.h>

#include <set>

#include "base/log.hpp"
#include "commands/plan_question.hpp"
#include "plan/proof/check.hpp"
#include "plan/proof/examples.hpp"

namespace moemill::mill {
namespace {

std::string peak_text(const char* name, const std::optional<double>& flops) {
  return flops ? fmt::format(", {} {:.0f} TFLOP/s", name, *flops / 1e12) : "";
}

std::string cpu_node_text(const estimate::Hardware& h) {
  std::string text = fmt::format("{}: a CPU node of {:.0f} GB, whose rates are those of {}\n", h.name,
                                 h.memory_bytes / 1e9, h.calibration);
  if (h.price)
    text += fmt::format("  {:.2f} {} per {}-hour ({}: {})\n", h.price->per_hour, h.price->currency, h.price->unit,
                        h.price->date, h.price->source);
  return text;
}

std::string machine_text(const estimate::Hardware& h) {
  if (!h.calibration.empty()) return cpu_node_text(h);
  std::string text =
      fmt::format("{}: {:.0f} GB at {:.0f} GB/s{}{}{}{}\n", h.name, h.memory_bytes / 1e9,
                  h.memory_bytes_per_second / 1e9, peak_text("bf16", h.bf16_flops), peak_text("fp8", h.fp8_flops),
                  peak_text("int8", h.int8_ops), peak_text("fp4", h.fp4_flops));
  text += fmt::format("  links, one way and per GPU: {:.0f} GB/s among {} GPUs", h.scale_up_bytes_per_second / 1e9,
                      h.scale_up_gpus);
  text += h.network_bytes_per_second ? fmt::format(", {:.0f} GB/s beyond\n", *h.network_bytes_per_second / 1e9) : "\n";
  if (h.price)
    text += fmt::format("  {:.2f} {} per {}-hour ({}: {})\n", h.price->per_hour, h.price->currency, h.price->unit,
                        h.price->date, h.price->source);
  for (const std::string& source : h.sources) text += fmt::format("  source: {}\n", source);
  for (const std::string& assumed : h.assumed) text += fmt::format("  not sure: {}\n", assumed);
  return text;
}

}  // namespace

std::string plan_check(const PlanCheck& words) {
  estimate::Catalog catalog(words.configs, estimate::read_changes(words.changes));
  const std::string file = words.points_file.value_or(words.configs + "/published.yaml");
  const auto points = estimate::read_points(estimate::read_figures(file), file, catalog);
  catalog.check_changes();
  std::set<std::string> machines;
  for (const estimate::Point& point : points) machines.insert(point.hardware);
  for (const std::string& name : machines)
    for (const std::string& warning : catalog.hardware(name).warnings) log::warning("{}", warning);
  const auto checked = estimate::check(points, catalog);
  return words.form == PlanForm::Json ? estimate::check_json(checked) : estimate::check_text(checked);
}

std::string plan_example(const std::string& configs, const std::string& name) {
  estimate::Catalog catalog(configs);
  return estimate::example_text(name, catalog);
}

std::string plan_machines(const std::string& configs, const std::string& names) {
  estimate::Catalog catalog(configs);
  std::string text;
  for (const std::string& name : words_of(names, "--hardware")) {
    const estimate::Hardware& hardware = catalog.hardware(name);
    for (const std::string& warning : hardware.warnings) log::warning("{}", warning);
    text += machine_text(hardware);
  }
  return text;
}

}  // namespace moemill::mill
