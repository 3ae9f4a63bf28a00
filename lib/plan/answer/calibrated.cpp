#include "plan/answer/calibrated.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/text/format.hpp"

namespace moemill::estimate {

const calibration::StepPredictor& CalibratedSteps::predictor(const Layout& layout) const {
  const auto key = std::pair(layout.gpus, layout.micro_batches);
  const auto found = predictors_.find(key);
  if (found != predictors_.end()) return found->second;
  const calibration::StepLayout of{layout.gpus, layout.micro_batches};
  return predictors_.emplace(key, calibration::StepPredictor(calibration_, model_, of)).first->second;
}

StepTime CalibratedSteps::step(const Setting& setting, const StepRows& rows) const {
  expect(&setting.model == &model_, "a calibrated machine plans one model");
  calibration::StepFacts facts;
  const bool is_prompt = rows.pass == model::Pass::Prompt;
  // A prompt's row sees the positions before it, on average half of those that are computed.
  const double seen = is_prompt ? (rows.context + rows.cached) / 2 : rows.context;
  (is_prompt ? facts.prompt : facts.generated) = {rows.rows, rows.rows * seen};
  const double drawn = is_prompt ? rows.rows / (rows.context - rows.cached) : rows.rows;
  facts.drawn[static_cast<std::size_t>(calibration::Drawing::TopP)] = drawn;
  facts.rows_of_all_ranks = rows.rows * setting.layout.gpus;
  const calibration::PredictedStep predicted = predictor(setting.layout).predict(facts);
  StepTime time = predicted.terms;
  time[Term::Head] += predicted.drawing_seconds;
  return time;
}

Hardware calibrated(Hardware machine, const CalibratedSteps& steps) {
  const calibration::Calibration& c = steps.calibration();
  const std::uint32_t per_node = machine.gpus_per_node > 0 ? machine.gpus_per_node : c.machine.ranks_per_node;
  machine.gpus_per_node = machine.scale_up_gpus = std::max(1u, per_node);
  machine.threads_per_rank = c.machine.threads_per_rank;
  machine.network_bytes_per_second = 1;  // there is one; the calibration has its rate
  machine.memory_bytes /= machine.gpus_per_node;
  if (machine.power_watts) *machine.power_watts /= machine.gpus_per_node;
  // Weights are held as published or in int8; which of them the calibration's arithmetic says.
  machine.bf16_flops = machine.fp8_flops = 1;
  if (c.arithmetic == Arithmetic::Int8) machine.int8_ops = 1;
  if (c.load_bytes_per_second) machine.efficiencies.load_gbytes_per_second = *c.load_bytes_per_second / 1e9;
  machine.measured = &steps;
  return machine;
}

std::string calibration_text(const CalibratedSteps& steps) {
  const calibration::Calibration& c = steps.calibration();
  return fmt::format("calibrated {} with {} of {} and {} on {}: {}, {}, {}; other numbers of ranks follow from these{}",
                     c.machine.measured_utc, counted(c.ranks, "rank", "ranks"),
                     counted(c.machine.threads_per_rank, "thread", "threads"), c.model,
                     counted(c.machine.nodes, "node", "nodes"), c.machine.cpu, c.machine.isa, word_of(c.arithmetic),
                     c.messages.between_nodes ? "" : ", groups over several nodes are a guess");
}

}  // namespace moemill::estimate
