#include "mill/predicted.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text/json_values.hpp"

namespace moemill::mill {
namespace {

// "12" or, of short times, "1.2" and "0.12".
std::string seconds_text(double seconds) {
  return fmt::format("{:.{}f}", seconds, seconds < 1 ? 2 : seconds < 10 ? 1 : 0);
}

nlohmann::ordered_json parts_json(const PartSeconds& parts) {
  nlohmann::ordered_json json{{"wall_seconds", parts.wall()}};
  for (const Part& part : all_parts) json[fmt::format("{}_seconds", part.name)] = parts.*part.member;
  return json;
}

PartSeconds parts_in(const nlohmann::json& json) {
  PartSeconds parts;
  for (const Part& part : all_parts)
    parts.*part.member = json_value_or(json, fmt::format("{}_seconds", part.name).c_str(), 0.0);
  return parts;
}

// The part that the error comes from most, with its own error: "decode +5 %".
std::string largest_error(const Predicted& p) {
  const Part* largest = all_parts.data();
  const auto off = [&](const Part& part) { return p.measured.*part.member - p.predicted.*part.member; };
  for (const Part& part : all_parts)
    if (std::abs(off(part)) > std::abs(off(*largest))) largest = &part;
  const double predicted = p.predicted.*largest->member;
  if (predicted <= 0) return fmt::format("{} {} s unforeseen", largest->name, seconds_text(off(*largest)));
  return fmt::format("{} {:+.0f} %", largest->name, 100 * off(*largest) / predicted);
}

}  // namespace

void PredictedSteps::take(schedule::Phase phase, const calibration::StepFacts& facts, double seconds,
                          const layers::ExchangeTotals& all) {
  phase_ = phase;
  share_ = seconds_.share_of(facts);
  const auto since = [&](std::uint64_t layers::ExchangeTotals::*count) {
    return static_cast<double>(all.*count - before_.*count);
  };
  share_.routed = {since(&layers::ExchangeTotals::pairs), since(&layers::ExchangeTotals::experts_touched),
                   since(&layers::ExchangeTotals::work), since(&layers::ExchangeTotals::busiest_work)};
  const double exchange = all.seconds - before_.seconds;
  before_ = all;
  if (share_.rows == 0) {
    measured_.idle += seconds;
    return;
  }
  (phase == schedule::Phase::Prefill ? measured_.prefill : measured_.decode) += seconds - exchange;
  measured_.exchange += exchange;
}

void PredictedSteps::add(std::span<const StepShare> ranks) {
  if (phase_) seconds_.add(*phase_, ranks);
  phase_.reset();
}

void add_to(std::optional<Predicted>& sum, const Predicted& attempt) {
  if (!sum) sum.emplace();
  sum->source = attempt.source;
  sum->predicted += attempt.predicted;
  sum->measured += attempt.measured;
}

PartSeconds mean_over_ranks(const Comm& world, const PartSeconds& mine) {
  PartSeconds sum;
  for (const PartSeconds& one : gather(world, mine)) sum += one;
  return sum * (1.0 / world.size());
}

nlohmann::ordered_json json_of(const Predicted& p, std::optional<double> cost_per_million) {
  const bool comparable = p.predicted.wall() > 0 && p.measured.wall() > 0;
  nlohmann::ordered_json json{{"source", p.source}};
  json.update(parts_json(p.predicted));
  json["per_million_tokens"] = cost_per_million && comparable
                                   ? nlohmann::ordered_json(*cost_per_million * p.predicted.wall() / p.measured.wall())
                                   : nlohmann::ordered_json();
  json["error"] = comparable ? nlohmann::ordered_json(p.error()) : nlohmann::ordered_json();
  json["measured"] = parts_json(p.measured);
  return json;
}

std::optional<Predicted> predicted_in(const nlohmann::json& metrics_line) {
  const auto found = metrics_line.find("predicted");
  if (found == metrics_line.end() || !found->is_object()) return std::nullopt;
  const auto measured = found->find("measured");
  if (measured == found->end() || !measured->is_object()) return std::nullopt;
  return Predicted{json_value_or(*found, "source", std::string()), parts_in(*found), parts_in(*measured)};
}

std::string parts_text(const PartSeconds& parts) {
  std::string text;
  for (const Part& part : all_parts) {
    if (parts.*part.member <= 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", part.name, seconds_text(parts.*part.member));
  }
  return text;
}

std::string text_of(const Predicted& p) {
  const std::string text =
      fmt::format("predicted {} s for this work ({}), measured {}", seconds_text(p.predicted.wall()),
                  parts_text(p.predicted), seconds_text(p.measured.wall()));
  if (p.predicted.wall() <= 0) return text;
  return text + fmt::format(" ({:+.1f} %): {}", 100 * p.error(), largest_error(p));
}

std::string calibration_hint(int ranks, const std::string& model) {
  return fmt::format(
      "no prediction: `{}moemill bench calibrate --model {} -o FILE` makes one, as cost.calibration: FILE",
      ranks > 1 ? fmt::format("mpirun -n {} ", ranks) : "", model);
}

}  // namespace moemill::mill
