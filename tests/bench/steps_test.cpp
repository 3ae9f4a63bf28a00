// What `bench calibrate` measures: models cut to size, and the stages of a small model's steps.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "bench/predicted_step.hpp"
#include "bench/steps/cut_model.hpp"
#include "bench/steps/measure_stages.hpp"
#include "model/placement.hpp"
#include "weights/cpu/weights.hpp"

using namespace moemill;

namespace {

model::ModelConfig two_kinds() {
  model::ModelConfig config;
  config.hidden = 64, config.layers = 9, config.vocabulary = 96, config.max_positions = 256, config.dense_width = 96;
  config.layer_is_moe = {false, true, true, true, true, true, true, true, true};
  config.attention = model::AttentionKind::Grouped;
  config.gqa.heads = 4, config.gqa.kv_heads = 2, config.gqa.head_dim = 16, config.gqa.softmax_scale = 0.25f;
  config.rope.dim = 16, config.rope.frequencies.assign(8, 0.1f);
  config.moe.experts = 16, config.moe.picks = 2, config.moe.expert_width = 32, config.moe.shared_width = 32;
  return config;
}

std::uint64_t bytes_of(const model::ModelConfig& config, std::uint32_t ranks) {
  return model::weight_bytes(config, model::contiguous_slices(config, ranks), DomainRank{0});
}

std::ptrdiff_t moe_layers_of(const model::ModelConfig& config) {
  return std::count(config.layer_is_moe.begin(), config.layer_is_moe.end(), true);
}

}  // namespace

TEST_CASE("a step that took longer than predicted has a positive error, as a run has") {
  bench::Comparison c;
  c.predicted.drawing_seconds = 2, c.measured_seconds = 3;
  CHECK(c.error() == doctest::Approx(0.5));
}

TEST_CASE("a model beyond the ranks' memory loses layers, then experts, but no kind of layer") {
  const model::ModelConfig whole = two_kinds();
  CHECK(bench::cut_to_size(whole, 2, bytes_of(whole, 2)).layers == 9);
  const model::ModelConfig fewer = bench::cut_to_size(whole, 2, bytes_of(whole, 2) * 2 / 3);
  CHECK(bytes_of(fewer, 2) <= bytes_of(whole, 2) * 2 / 3);
  CHECK(fewer.layers < 9);
  CHECK(fewer.layers == fewer.layer_is_moe.size());
  CHECK(moe_layers_of(fewer) == static_cast<std::ptrdiff_t>(fewer.layers) - 1);
  CHECK(fewer.moe.experts == 16);
  const model::ModelConfig least = bench::cut_to_size(whole, 2, 1);
  CHECK(least.layers == 3);
  CHECK(moe_layers_of(least) == 2);
  CHECK(least.moe.experts == 4);  // 2 would be fewer than the picks with one for each rank
}

TEST_CASE("stages of a small model's steps are measured on two ranks, and predict such a step") {
  run_loopback(2, [](Comm world) {
    const model::ModelConfig config = two_kinds();
    const std::vector<int> nodes(2, 0);
    bench::StepProbe probe({"", config, cpu::best_isa(), 1, nodes}, world);
    const bench::StageGrid grid{1, config.max_positions, 0};
    calibration::Calibration c;
    c.ranks = 2;
    c.shape = calibration::shape_of(config);
    c.stages.push_back(bench::measure_stages(probe, config, grid));
    c.drawing_seconds_a_row = probe.measure_drawings(4);
    const calibration::Stages& s = c.stages.front();
    for (const calibration::Curve* curve :
         {&s.generated_projections, &s.prompt_projections, &s.dense, &s.shared, &s.expert, &s.generated_core, &s.head,
          &s.generated_by_context, &s.prompt_by_context, &s.dispatch, &s.combine})
      CHECK(curve->points().back().seconds > 0);
    CHECK(s.generated_core.points().front().size == 0);
    CHECK(s.generated_core.points().back().size == 512);
    CHECK(s.generated_by_context.points().back().size == 224);  // half a page less than the longest
    CHECK(s.expert.points().front().size >= 1);
    CHECK(s.share_on_core > 0);
    for (const double seconds : c.drawing_seconds_a_row) CHECK(seconds > 0);
    const auto step = bench::predict_step(c, config, {2, 1}, {bench::Workload::Decode, 64, 100}, SamplingParams());
    CHECK(step.seconds() > 0);
    CHECK(step.terms[estimate::Term::RoutedExperts] > 0);
    CHECK(step.drawing_seconds == doctest::Approx(32 * c.drawing_seconds_a_row[1]));
  });
}
