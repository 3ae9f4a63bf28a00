// The run's time as its calibration predicts it, beside the time that it took: for the ledger, summary.json,
// metrics.jsonl and the ETA. Made by the job where cost.calibration is set; the loop tells it of every step.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>

#include "base/run_config.hpp"
#include "layers/dispatch/exchange_totals.hpp"
#include "plan/forecast/forecast.hpp"
#include "plan/forecast/part_seconds.hpp"
#include "plan/forecast/step_seconds.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// Both times of the same work.
struct Predicted {
  std::string source;  // the calibration: file, date, CPU
  PartSeconds predicted, measured;

  // How much longer the work took: 0.05 is 5 %.
  double error() const { return measured.wall() / predicted.wall() - 1; }
};

// Adds an attempt; the source is that of the last one.
void add_to(std::optional<Predicted>& sum, const Predicted& attempt);

// This attempt's steps on one rank: predicted with the shares of its domain's ranks, measured by itself.
class PredictedSteps {
 public:
  explicit PredictedSteps(StepSeconds seconds) : seconds_(std::move(seconds)) {}

  // After a step of this rank. `exchange` is all since the start.
  void take(schedule::Phase phase, const calibration::StepFacts& facts, double seconds,
            const layers::ExchangeTotals& exchange);
  // This rank's share of the last step, which its domain gets with its next facts, and the shares of all its ranks.
  const StepShare& share() const { return share_; }
  void add(std::span<const StepShare> ranks);

  // Of this rank's domain.
  const PartSeconds& predicted() const { return seconds_.parts(); }
  // Steps of this rank only: no loading, and as idle time only steps without rows.
  const PartSeconds& measured() const { return measured_; }

 private:
  StepSeconds seconds_;
  StepShare share_;
  std::optional<schedule::Phase> phase_;  // of a step whose shares have not come yet
  PartSeconds measured_;
  layers::ExchangeTotals before_;
};

// Means over ranks; collective.
PartSeconds mean_over_ranks(const Comm& world, const PartSeconds& mine);

// `cost_per_million`: what a million tokens have cost; absent without a price.
nlohmann::ordered_json json_of(const Predicted& predicted, std::optional<double> cost_per_million);
// Of a line of metrics.jsonl; nothing if it has none.
std::optional<Predicted> predicted_in(const nlohmann::json& metrics_line);

// "prefill 120, decode 226, exchange 9, idle 6", in seconds, without parts that are 0.
std::string parts_text(const PartSeconds& parts);
// "predicted 361 s for this work (prefill 120, decode 226, exchange 9, idle 6), measured 374 (+3.6 %): decode +5 %".
std::string text_of(const Predicted& predicted);
// The line that makes a calibration.
std::string calibration_hint(int ranks, const std::string& model);

}  // namespace moemill::mill
