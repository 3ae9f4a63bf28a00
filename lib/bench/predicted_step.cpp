#include "bench/predicted_step.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/numbers/rounding.hpp"

namespace moemill::bench {
namespace {

using calibration::PredictedStep;
using calibration::StepFacts;
using estimate::Term;

// What both sides tell apart: the predicted terms and the measured passes of one part of a step.
struct Part {
  const char* key;  // in JSON
  const char* words;
  double predicted, measured;
};

std::vector<Part> parts_of(const Comparison& c) {
  const auto& terms = c.predicted.terms;
  const auto took = [&](Pass pass) { return c.measured[static_cast<std::size_t>(pass)]; };
  const double mlps = terms[Term::SharedExpert] + terms[Term::RoutedExperts] + terms[Term::DenseLayers];
  return {{"projections", "projections, norms, router", terms[Term::Projections],
           took(Pass::Projections) + took(Pass::Norms) + took(Pass::Router)},
          {"attention", "attention over the cache", terms[Term::Core], took(Pass::Attention)},
          {"mlps", "experts and dense MLPs", mlps, took(Pass::Products) + took(Pass::Activations)},
          {"exchange", "exchange", c.predicted.exchange_seconds(), took(Pass::Packing) + took(Pass::Waiting)},
          {"head", "head", terms[Term::Head], took(Pass::Head)},
          {"drawing", "drawing", c.predicted.drawing_seconds, took(Pass::Drawing)},
          {"rest", "the rest", terms[Term::OutsideLayers], took(Pass::Rest)}};
}

}  // namespace

PredictedStep predict_step(const calibration::Calibration& calibration, const model::ModelConfig& config,
                           calibration::StepLayout layout, const StepShape& shape, const SamplingParams& sampling) {
  const double sequences = divide_up(shape.sequences, layout.ranks);
  const double tokens = shape.tokens;
  StepFacts facts;
  if (shape.workload == Workload::Decode) {
    facts.generated = {sequences, sequences * (tokens + 1)};
    facts.rows_of_all_ranks = shape.sequences;
  } else {
    facts.prompt = {sequences * tokens, sequences * tokens * (tokens + 1) / 2};
    facts.rows_of_all_ranks = shape.sequences * tokens;
  }
  facts.drawn[static_cast<std::size_t>(calibration::drawing_of(sampling))] = sequences;
  return calibration::StepPredictor(calibration, config, layout).predict(facts);
}

void print_text(const Comparison& c) {
  fmt::print("  predicted {:.2f} ms, measured {:.2f} ms ({:+.1f} %)\n", 1e3 * c.predicted.seconds(),
             1e3 * c.measured_seconds, 100 * c.error());
  for (const Part& part : parts_of(c))
    fmt::print("  {:9.2f} {:9.2f} ms {}\n", 1e3 * part.predicted, 1e3 * part.measured, part.words);
  for (const std::string& line : c.warnings) fmt::print("  warning: {}\n", line);
}

void put(nlohmann::ordered_json& out, const Comparison& c) {
  nlohmann::ordered_json& predicted = out["predicted"];
  predicted["seconds_per_step"] = c.predicted.seconds();
  predicted["error"] = c.error();
  for (const Part& part : parts_of(c))
    predicted["parts"][part.key] = {{"predicted_seconds", part.predicted}, {"measured_seconds", part.measured}};
  predicted["warnings"] = c.warnings;
}

}  // namespace moemill::bench
