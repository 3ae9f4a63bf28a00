#include "plan/estimate/explain.hpp"

#include <fmt/format.h>

#include <cmath>

#include "plan/estimate/stages.hpp"

namespace moemill::estimate {
namespace {

std::string amount(double value, const char* unit) {
  for (const auto& [size, prefix] : {std::pair(1e15, "P"), {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}})
    if (value >= size) return fmt::format("{:.3g} {}{}", value / size, prefix, unit);
  return fmt::format("{:.3g} {}", value, unit);
}

std::string microseconds(double seconds) { return fmt::format("{:.1f}", 1e6 * seconds); }

std::string line_of(const char* name, const StageCost& cost) {
  std::string parts, sum;
  const auto part = [&](const std::string& text) { parts += (parts.empty() ? "" : "; ") + text; };
  if (cost.bytes > 0)
    part(fmt::format("{} / {} = {}", amount(cost.bytes, "B"), amount(cost.bytes_per_second, "B/s"),
                     microseconds(cost.memory_seconds())));
  if (cost.operations > 0)
    part(fmt::format("{} / {} = {}", amount(cost.operations, "FLOP"), amount(cost.operations_per_second, "FLOP/s"),
                     microseconds(cost.arithmetic_seconds())));
  const double joined = cost.seconds() - cost.row_seconds - cost.kernel_seconds;
  sum = cost.bytes > 0 && cost.operations > 0 ? "joined " + microseconds(joined) : microseconds(joined);
  if (cost.row_seconds > 0) sum += " + rows " + microseconds(cost.row_seconds);
  if (cost.kernel_seconds > 0) sum += " + kernels " + microseconds(cost.kernel_seconds);
  return fmt::format("  {:<26} {}; {} = {} us\n", name, parts, sum, microseconds(cost.seconds()));
}

std::string line_of(const char* name, const Transfer& transfer) {
  if (transfer.latency_seconds == 0) return "";
  std::string parts =
      fmt::format("fast links {} / {} = {}", amount(transfer.scale_up_bytes, "B"),
                  amount(transfer.scale_up_bytes_per_second, "B/s"), microseconds(transfer.scale_up_seconds()));
  if (transfer.network_bytes > 0)
    parts += fmt::format("; network {} / {} = {}", amount(transfer.network_bytes, "B"),
                         amount(transfer.network_bytes_per_second, "B/s"), microseconds(transfer.network_seconds()));
  return fmt::format("  {:<26} {}; the longer * imbalance {:.3g} + latency {} = {} us\n", name, parts,
                     transfer.imbalance, microseconds(transfer.latency_seconds), microseconds(transfer.seconds()));
}

std::string layer_formula(const Layout& layout, model::Pass pass) {
  if (layout.micro_batches == 1) return "a0 + a1 + max(s, d) + m + c";
  if (pass == model::Pass::Generated) return "2 (max(s + a0, d) + m + max(a1, c))";
  return "max(a0 + a1 + s, c) + max(a0 + a1, d) + max(m, d) + max(m + s, c)";
}

std::string stage_lines(const Stages& s, const model::LayerCounts& counts) {
  std::string text = line_of("half of small kernels", s.small) + line_of("projections before core", s.before) +
                     line_of("attention core", s.core);
  if (s.windowed_share > 0)
    text += line_of("core with a window", s.windowed_core) +
            fmt::format("  {:<26} {:.0f} % of the layers have a window: {} us\n", "core, mean", 100 * s.windowed_share,
                        microseconds(s.core_seconds()));
  text += line_of("projections behind core", s.after);
  if (counts.shared_expert > 0) text += line_of("shared expert (s)", s.shared);
  text += line_of("dispatch (d)", s.dispatch);
  if (counts.moe_layers > 0) text += line_of("experts (m)", s.experts);
  text += line_of("combine (c)", s.combine);
  if (counts.dense_layers > 0) text += line_of("MLP of a dense layer", s.dense);
  return text;
}

}  // namespace

std::string explain_step(const Setting& setting, const StepRows& rows) {
  const StepTime time = predict_step(setting, rows);
  const double batches = setting.layout.micro_batches;
  std::string text;
  if (!setting.hardware.measured) {
    const Stages stages = stages_of(setting, rows);
    const model::LayerCounts counts = model::count_layers(setting.model);
    text += fmt::format("  one layer and micro-batch of {:.0f} rows, us; joined: (memory^4 + arithmetic^4)^(1/4)\n",
                        rows.rows / batches);
    text += stage_lines(stages, counts) + line_of("head, once a step", stages.head);
    text +=
        fmt::format("  a layer with experts: {}, a0 = before + half of small, a1 = core + behind + the other half\n",
                    layer_formula(setting.layout, rows.pass));
    text +=
        fmt::format("  step: {} layers with experts, {} without, the head; {:.3g} of the whole outside the layers\n",
                    counts.moe_layers, counts.dense_layers, setting.hardware.efficiencies.outside_layers);
  }
  for (std::size_t i = 0; i < terms; ++i)
    if (const Term term = static_cast<Term>(i); time[term] > 0)
      text += fmt::format("  {:<26} {:.3f} ms a step\n", name_of(term), 1e3 * time[term]);
  if (time.hidden_seconds > 0)
    text += fmt::format("  {:<26} {:.3f} ms\n", "hidden beside others", -1e3 * time.hidden_seconds);
  return text + fmt::format("  {:<26} {:.3f} ms\n", "step", 1e3 * time.seconds());
}

}  // namespace moemill::estimate
