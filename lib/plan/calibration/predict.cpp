#include "plan/calibration/predict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace moemill::calibration {
namespace {

using estimate::StepTime;
using estimate::Term;

// 0 if hardly anything was measured: less than any clock tells apart, or than the smallest count.
double ratio(double wanted, double measured) {
  constexpr double nothing = 1e-12;
  return measured > nothing ? wanted / measured : 0;
}

// Outputs and inputs of a row that leave its rank, where experts are spread evenly over the ranks.
double leaving_rows(double picks, double ranks) { return ranks > 1 ? picks * (ranks - 1) / ranks : 0; }

// What a row's exchange takes, in rows that are touched: its own, and those that travel.
double exchange_work(const ModelShape& shape, double ranks) {
  return shape.hidden * (1 + leaving_rows(shape.picks, ranks));
}

// The curve of an MLP of `parameters`, from the first of the measured ones that the measured model has.
struct MeasuredMlp {
  const Curve* curve;
  double parameters;
};
Curve mlp_curve(double parameters, std::initializer_list<MeasuredMlp> measured) {
  for (const MeasuredMlp& mlp : measured)
    if (mlp.parameters > 0) return mlp.curve->times(parameters / mlp.parameters);
  return {};
}

// The stages of a model of the shape `now`, on `ranks`, from those of the calibration's model.
Stages scaled(const Stages& from, const Calibration& c, const ModelShape& now, double ranks) {
  const ModelShape& then = c.shape;
  const double hidden = ratio(now.hidden, then.hidden);
  const double generated_core =
      std::max(ratio(now.generated_core_flops, then.generated_core_flops), ratio(now.kv_width, then.kv_width));
  const double prompt_core = ratio(now.prompt_core_flops, then.prompt_core_flops);
  const double exchange = ratio(exchange_work(now, ranks), exchange_work(then, c.ranks));
  const MeasuredMlp dense{&from.dense, then.dense_mlp}, shared{&from.shared, then.shared_expert},
      expert{&from.expert, then.expert};
  Stages out = from;
  out.prompt_projections = from.prompt_projections.times(ratio(now.prompt_projections, then.prompt_projections));
  out.generated_projections =
      from.generated_projections.times(ratio(now.generated_projections, then.generated_projections));
  out.small = from.small.times(hidden);
  out.dense = mlp_curve(now.dense_mlp, {dense, shared, expert});
  out.shared = mlp_curve(now.shared_expert, {shared, dense, expert});
  out.expert = mlp_curve(now.expert, {expert, shared, dense});
  out.dispatch = from.dispatch.times(exchange);
  out.combine = from.combine.times(exchange);
  out.outside = from.outside.times(hidden);
  out.generated_core = from.generated_core.times(generated_core);
  out.generated_by_context = from.generated_by_context.times(generated_core);
  out.prompt_by_context = from.prompt_by_context.times(prompt_core);
  out.head = from.head.times(ratio(1.0 * now.hidden * now.vocabulary, 1.0 * then.hidden * then.vocabulary));
  return out;
}

// The measured stages of so many micro-batches, or of the nearest number.
const Stages& stages_of(const Calibration& c, std::uint32_t micro_batches) {
  expect(!c.stages.empty(), "a calibration has stages");
  for (const Stages& stages : c.stages)
    if (stages.micro_batches == micro_batches) return stages;
  return c.stages.front();
}

bool measured(const Calibration& c, std::uint32_t micro_batches) {
  return stages_of(c, micro_batches).micro_batches == micro_batches;
}

}  // namespace

void PredictedStep::add(const PredictedStep& other) {
  terms.add(other.terms, 1);
  drawing_seconds += other.drawing_seconds;
}

StepPredictor::StepPredictor(const Calibration& c, const model::ModelConfig& config, StepLayout layout)
    : layout_(layout),
      shape_(shape_of(config)),
      stages_(scaled(stages_of(c, layout.micro_batches), c, shape_, layout.ranks)),
      drawing_seconds_a_row_(c.drawing_seconds_a_row),
      agreeing_seconds_(c.agreeing_seconds),
      experts_of_rank_(static_cast<double>(shape_.experts) / layout.ranks) {
  expect(layout.ranks > 0, "a layout has ranks");
  for (double& seconds : drawing_seconds_a_row_) seconds *= ratio(shape_.vocabulary, c.shape.vocabulary);
}

PredictedStep StepPredictor::predict(const StepFacts& facts) const {
  PredictedStep out;
  add_layers(facts, out.terms);
  double drawn = 0;
  for (std::size_t i = 0; i < drawings; ++i) {
    drawn += facts.drawn[i];
    out.drawing_seconds += facts.drawn[i] * drawing_seconds_a_row_[i];
  }
  if (drawn > 0) out.terms[Term::Head] = stages_.head.at(drawn);
  out.terms[Term::OutsideLayers] = stages_.outside.at(facts.prompt.rows + facts.generated.rows) + agreeing_seconds_;
  return out;
}

void StepPredictor::add_layers(const StepFacts& facts, StepTime& out) const {
  const double rows = facts.prompt.rows + facts.generated.rows;
  const double moe = shape_.moe_layers, dense = shape_.dense_layers, layers = moe + dense;
  const double rows_of_a_rank = facts.rows_of_all_ranks / layout_.ranks;
  out[Term::Projections] = layers * (projections(facts, rows) + stages_.small.at(rows));
  out[Term::Core] = layers * core(facts);
  if (shape_.dense_mlp > 0) out[Term::DenseLayers] = dense * stages_.dense.at(rows);
  if (shape_.shared_expert > 0) out[Term::SharedExpert] = moe * stages_.shared.at(rows);
  if (facts.rows_of_all_ranks <= 0) return;
  out[Term::RoutedExperts] = moe * routed(facts);
  out[Term::Dispatch] = moe * stages_.dispatch.at(rows_of_a_rank);
  out[Term::Combine] = moe * stages_.combine.at(rows_of_a_rank);
}

// Rows of both kinds go through most matrices together: each has its share of a step that has only its kind.
double StepPredictor::projections(const StepFacts& facts, double rows) const {
  if (rows <= 0) return stages_.generated_projections.at(0);
  return (facts.prompt.rows * stages_.prompt_projections.at(rows) +
          facts.generated.rows * stages_.generated_projections.at(rows)) /
         rows;
}

double StepPredictor::core(const StepFacts& facts) const {
  const RowsSeen &generated = facts.generated, &prompt = facts.prompt;
  double seconds = 0;
  if (generated.rows > 0) {
    const Curve& by_context = stages_.generated_by_context;
    seconds += stages_.generated_core.at(generated.rows) *
               ratio(by_context.at(generated.positions / generated.rows), by_context.points().front().seconds);
  }
  if (prompt.rows > 0) seconds += prompt.rows * stages_.prompt_by_context.at(prompt.positions / prompt.rows);
  return seconds;
}

double StepPredictor::routed(const StepFacts& facts) const {
  if (experts_of_rank_ <= 0) return 0;
  const double batches = layout_.micro_batches, rows = facts.rows_of_all_ranks / batches;  // of a micro-batch
  const double pairs = rows * shape_.picks / layout_.ranks;
  // Micro-batches of few rows touch fewer experts than the step, but not fewer than one each.
  const double even = experts_of_rank_ * (1 - std::pow(1 - static_cast<double>(shape_.picks) / shape_.experts, rows));
  const double touched = facts.experts_touched > 0 ? std::min(facts.experts_touched, pairs) : even;
  return batches * routed_seconds(pairs, touched);
}

double StepPredictor::routed_seconds(double pairs, double touched) const {
  return touched > 0 ? touched * stages_.expert.at(std::max(1.0, pairs / touched)) : 0;
}

std::vector<std::string> warnings(const Calibration& c, const model::ModelConfig& config, std::uint32_t micro_batches) {
  std::vector<std::string> out;
  if (const double share = stages_of(c, micro_batches).share_on_core; share < least_share_on_core)
    out.push_back(fmt::format("other programs: they took {:.0f} % of the cores' time while it was calibrated",
                              100 * (1 - share)));
  if (shape_of(config) != c.shape)
    out.push_back(fmt::format(
        "model: calibrated with {}; the seconds of this model's shapes follow from the same shares of the peak",
        c.model));
  return out;
}

std::vector<std::string> warnings(const Calibration& c, const model::ModelConfig& config, const Circumstances& now) {
  std::vector<std::string> out;
  const auto compare = [&](const char* name, const auto& measured_with, const auto& here) {
    if (measured_with != here)
      out.push_back(fmt::format("{}: calibrated with {}, but this is {}", name, measured_with, here));
  };
  const mill::Machine& m = c.machine;
  compare("CPU", m.cpu, now.cpu);
  compare("kernels", m.isa, now.isa);
  compare("arithmetic", word_of(c.arithmetic), word_of(now.arithmetic));
  compare("ranks", c.ranks, now.ranks);
  compare("threads per rank", m.threads_per_rank, now.threads_per_rank);
  compare("nodes", m.nodes, now.nodes);
  if (!measured(c, now.micro_batches))
    out.push_back(fmt::format("micro-batches: calibrated with {}, but this is {}",
                              stages_of(c, now.micro_batches).micro_batches, now.micro_batches));
  const std::vector<std::string> own = warnings(c, config, now.micro_batches);
  out.insert(out.end(), own.begin(), own.end());
  return out;
}

}  // namespace moemill::calibration
