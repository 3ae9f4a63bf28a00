// A calibration's curves, its file, and predictions of a toy machine whose seconds are known on paper.
#include "plan/calibration/calibration.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "plan/calibration/predict.hpp"

using namespace moemill;
using namespace moemill::calibration;
using estimate::Term;

namespace {

// Two layers with experts behind a dense one.
model::ModelConfig calibrated_model() {
  model::ModelConfig config;
  config.model_type = "toy";
  config.hidden = 64, config.layers = 3, config.vocabulary = 1000, config.dense_width = 256;
  config.layer_is_moe = {false, true, true};
  config.attention = model::AttentionKind::Grouped;
  config.gqa.heads = 4, config.gqa.kv_heads = 2, config.gqa.head_dim = 16;
  config.moe.experts = 8, config.moe.picks = 2, config.moe.expert_width = 32, config.moe.shared_width = 32;
  return config;
}

Curve line(double at_zero, double slope) { return Curve({{0, at_zero}, {100, at_zero + 100 * slope}}); }

// Milliseconds that differ from stage to stage, so that a mistaken stage shows.
Calibration toy_calibration() {
  Calibration c;
  c.machine.cpu = "a CPU", c.machine.isa = "avx2";
  c.machine.measured_utc = "2026-11-30T04:00:00Z", c.machine.moemill_version = "0.1.0", c.machine.git_commit = "0123";
  c.machine.ranks_per_node = 2, c.machine.threads_per_rank = 4;
  c.machine.within_node = mill::Machine::Link{1.5e-6, 1.25e10};
  c.mpi = "Open MPI v4.1.4", c.ranks = 2, c.model = "configs/toy";
  c.shape = shape_of(calibrated_model());
  c.measured_layers = 3, c.measured_experts = 8;
  Stages s;
  s.prompt_projections = line(0.001, 0.00001), s.generated_projections = line(0.002, 0.00002);
  s.small = line(0.0001, 0.000001);
  s.dense = line(0.003, 0.00003), s.shared = line(0.004, 0.00004), s.expert = line(0.005, 0.00005);
  s.dispatch = line(0.006, 0.00006), s.combine = line(0.007, 0.00007), s.outside = line(0.008, 0.00008);
  s.generated_core = line(0, 0.00002);
  s.generated_by_context = Curve({{128, 0.00002}, {1024, 0.0001}, {4096, 0.0005}});
  s.prompt_by_context = Curve({{64, 0.00001}, {256, 0.00003}});
  s.head = line(0.009, 0.00009);
  c.stages = {s};
  c.drawing_seconds_a_row = {0.001, 0.002, 0.003, 0.004, 0.005, 0.006};
  c.agreeing_seconds = 0.01, c.start_seconds = 0.25;
  c.messages.within_node = Curve({{8, 1e-6}, {1e6, 1e-4}});
  c.load_bytes_per_second = 1e9;
  return c;
}

const std::string path = (std::filesystem::temp_directory_path() / "moemill_calibration_test.json").string();

Calibration read(const std::string& text) {
  std::ofstream(path) << text;
  return read_calibration(path);
}

std::string fault(std::string text, const std::string& old, const std::string& now) {
  const std::size_t at = text.find(old);
  REQUIRE(at != std::string::npos);
  text.replace(at, old.size(), now);
  try {
    read(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

// 64 positions by each of 10 rows that 2 ranks share evenly.
StepFacts decode_step() {
  StepFacts facts;
  facts.generated = {10, 10 * 128};
  facts.drawn[static_cast<std::size_t>(Drawing::TopP)] = 10;
  facts.rows_of_all_ranks = 20;
  return facts;
}

bool names(const std::string& message, const char* key) {
  return message.find(path) == 0 && message.find(key) != std::string::npos &&
         message.find("bench calibrate") != std::string::npos;
}

}  // namespace

TEST_CASE("a curve has its measured seconds at its sizes and lines between them") {
  const Curve curve({{1, 10}, {2, 12}, {4, 40}, {8, 80}});
  CHECK(curve.at(1) == 10);
  CHECK(curve.at(2) == 12);
  CHECK(curve.at(4) == 40);
  CHECK(curve.at(8) == 80);
  CHECK(curve.at(1.5) == 11);
  CHECK(curve.at(3) == 26);
  CHECK(curve.at(0) == 10);    // as the first
  CHECK(curve.at(16) == 160);  // 10 a size, as between the last two
  CHECK(curve.times(2).at(3) == 52);
  CHECK(Curve({{5, 3}}).at(7) == 3);
  CHECK(Curve({{1, 10}, {2, 1}}).at(100) == 0);  // never less than nothing
}

TEST_CASE("a decode step's terms are those on paper") {
  const StepPredictor predictor(toy_calibration(), calibrated_model(), {2, 1});
  const PredictedStep step = predictor.predict(decode_step());
  const auto& terms = step.terms;
  CHECK(terms[Term::Projections] == doctest::Approx(3 * (0.0022 + 0.00011)));
  CHECK(terms[Term::Core] == doctest::Approx(3 * 10 * 0.00002));
  CHECK(terms[Term::DenseLayers] == doctest::Approx(0.0033));
  CHECK(terms[Term::SharedExpert] == doctest::Approx(2 * 0.0044));
  const double touched = 4 * (1 - std::pow(0.75, 20));
  CHECK(terms[Term::RoutedExperts] == doctest::Approx(2 * (touched * 0.005 + 20 * 0.00005)));
  CHECK(terms[Term::Dispatch] == doctest::Approx(2 * 0.0066));
  CHECK(terms[Term::Combine] == doctest::Approx(2 * 0.0077));
  CHECK(terms[Term::Head] == doctest::Approx(0.0099));
  CHECK(terms[Term::OutsideLayers] == doctest::Approx(0.0088 + 0.01));
  CHECK(step.drawing_seconds == doctest::Approx(10 * 0.004));
  CHECK(step.exchange_seconds() == doctest::Approx(2 * 0.0143));
  double sum = step.drawing_seconds;
  for (const double seconds : terms.seconds_of) sum += seconds;
  CHECK(step.seconds() == doctest::Approx(sum));
}

TEST_CASE("attention grows with the context; rows of prompts and generated rows have their own curves") {
  const StepPredictor predictor(toy_calibration(), calibrated_model(), {2, 1});
  StepFacts facts = decode_step();
  facts.generated.positions = 10 * 1024;
  CHECK(predictor.predict(facts).terms[Term::Core] == doctest::Approx(3 * 10 * 0.0001));
  facts.generated.positions = 10 * 2560;
  CHECK(predictor.predict(facts).terms[Term::Core] == doctest::Approx(3 * 10 * 0.0003));
  facts = {};
  facts.prompt = {50, 50 * 160};
  facts.rows_of_all_ranks = 100;
  CHECK(predictor.predict(facts).terms[Term::Core] == doctest::Approx(3 * 50 * 0.00002));
  facts.generated = {50, 50 * 128};
  facts.rows_of_all_ranks = 200;
  const PredictedStep mixed = predictor.predict(facts);
  CHECK(mixed.terms[Term::Core] == doctest::Approx(3 * (50 * 0.00002 + 50 * 0.00002)));
  CHECK(mixed.terms[Term::Projections] == doctest::Approx(3 * ((0.002 + 0.004) / 2 + 0.0002)));
  CHECK(mixed.terms[Term::Head] == 0);
}

TEST_CASE("a step without rows of its own still computes the rows of other ranks") {
  const StepPredictor predictor(toy_calibration(), calibrated_model(), {2, 1});
  const PredictedStep none = predictor.predict({});
  CHECK(none.terms[Term::RoutedExperts] == 0);
  CHECK(none.terms[Term::OutsideLayers] == doctest::Approx(0.018));
  StepFacts facts;
  facts.rows_of_all_ranks = 20;
  CHECK(predictor.predict(facts).terms[Term::RoutedExperts] ==
        predictor.predict(decode_step()).terms[Term::RoutedExperts]);
  facts.experts_touched = 2;
  CHECK(predictor.predict(facts).terms[Term::RoutedExperts] == doctest::Approx(2 * (2 * 0.005 + 20 * 0.00005)));
}

TEST_CASE("another model's stages have the same share of the peak") {
  model::ModelConfig wider = calibrated_model();
  wider.moe.expert_width = 64, wider.dense_width = 512, wider.moe.shared_width = 0, wider.vocabulary = 2000;
  const PredictedStep measured = StepPredictor(toy_calibration(), calibrated_model(), {2, 1}).predict(decode_step());
  const PredictedStep other = StepPredictor(toy_calibration(), wider, {2, 1}).predict(decode_step());
  CHECK(other.terms[Term::RoutedExperts] == doctest::Approx(2 * measured.terms[Term::RoutedExperts]));
  CHECK(other.terms[Term::DenseLayers] == doctest::Approx(2 * measured.terms[Term::DenseLayers]));
  CHECK(other.terms[Term::SharedExpert] == 0);
  CHECK(other.terms[Term::Core] == doctest::Approx(measured.terms[Term::Core]));
  CHECK(other.terms[Term::Head] == doctest::Approx(2 * measured.terms[Term::Head]));
  CHECK(other.drawing_seconds == doctest::Approx(2 * measured.drawing_seconds));
  // A model with layers of a kind that was not measured takes those of the nearest kind.
  Calibration without_shared = toy_calibration();
  without_shared.shape = shape_of(wider);
  const PredictedStep nearest = StepPredictor(without_shared, calibrated_model(), {2, 1}).predict(decode_step());
  CHECK(nearest.terms[Term::SharedExpert] == doctest::Approx(2 * 0.0033 * 32 / 512));
}

TEST_CASE("what differs from the calibration is a warning by its name") {
  const Calibration c = toy_calibration();
  Circumstances same{"a CPU", "avx2", Arithmetic::Bf16, 2, 4, 1, 1};
  CHECK(warnings(c, calibrated_model(), same).empty());
  const auto only = [&](Circumstances now, const char* name, const char* values) {
    const auto lines = warnings(c, calibrated_model(), now);
    return lines.size() == 1 && lines[0].find(name) == 0 && lines[0].find(values) != std::string::npos;
  };
  Circumstances now = same;
  now.cpu = "another CPU";
  CHECK(only(now, "CPU:", "calibrated with a CPU, but this is another CPU"));
  now = same, now.isa = "avx512";
  CHECK(only(now, "kernels:", "avx2, but this is avx512"));
  now = same, now.arithmetic = Arithmetic::Int8;
  CHECK(only(now, "arithmetic:", "bf16, but this is int8"));
  now = same, now.ranks = 4;
  CHECK(only(now, "ranks:", "2, but this is 4"));
  now = same, now.threads_per_rank = 1;
  CHECK(only(now, "threads per rank:", "4, but this is 1"));
  now = same, now.nodes = 2;
  CHECK(only(now, "nodes:", "1, but this is 2"));
  now = same, now.micro_batches = 2;
  CHECK(only(now, "micro-batches:", "1, but this is 2"));
  Calibration disturbed = c;
  disturbed.stages[0].share_on_core = 0.75;
  REQUIRE(warnings(disturbed, calibrated_model(), same).size() == 1);
  CHECK(warnings(disturbed, calibrated_model(), same)[0].find("other programs: they took 25 %") == 0);
  model::ModelConfig other = calibrated_model();
  other.hidden = 128;
  REQUIRE(warnings(c, other, same).size() == 1);
  CHECK(warnings(c, other, same)[0].find("model: calibrated with configs/toy") == 0);
}

TEST_CASE("a calibration is read as it was written") {
  const std::string text = to_json(toy_calibration());
  const Calibration c = read(text);
  CHECK(to_json(c) == text);
  CHECK(c.shape == toy_calibration().shape);
  CHECK(c.machine.threads_per_rank == 4);
  REQUIRE(c.machine.within_node);
  CHECK(c.machine.within_node->bytes_per_second == 1.25e10);
  CHECK(c.stages[0].generated_by_context.at(1024) == 0.0001);
  CHECK(c.load_bytes_per_second == 1e9);
  CHECK(c.start_seconds == 0.25);
  CHECK_FALSE(c.tokenize_bytes_per_second);
  CHECK_FALSE(c.messages.between_nodes);
}

TEST_CASE("a wrong calibration is refused with file, key and cure") {
  const std::string text = to_json(toy_calibration());
  CHECK(names(fault(text, "moemill-machine", "other"), "format"));
  CHECK(names(fault(text, "\"format_version\": 2", "\"format_version\": 1"), "format_version"));
  CHECK(names(fault(text, "\"threads_per_rank\": 4", "\"threads_per_rank\": 0"), "threads_per_rank"));
  CHECK(names(fault(text, "\"bytes_per_second\": 12500000000.0", "\"bytes_per_second\": \"fast\""),
              "within_node.bytes_per_second"));
  CHECK(names(fault(text, "\"core\"", "\"kern\""), "core"));
  CHECK(names(fault(text, "bf16\"", "fp64\""), "arithmetic"));
  CHECK(names(fault(text, "\"picks\": 2", "\"picks\": 9"), "shape.picks"));
  CHECK(names(fault(text, "\"stages\"", "\"phases\""), "stages"));
  CHECK(names(fault(text, "\"micro_batches\": 1", "\"micro_batches\": 3"), "stages[0].micro_batches"));
  CHECK(names(fault(text, "\"dispatch\"", "\"dispatched\""), "stages[0].dispatch"));
  CHECK(names(fault(text, "128.0,", "2048.0,"), "stages[0].generated_core_row.context"));
  CHECK(names(fault(text, "128.0,", "\"128\","), "stages[0].generated_core_row.context"));
  CHECK(names(fault(text, "128.0,", ""), "stages[0].generated_core_row.seconds"));
  CHECK(names(fault(text, "\"top_p\": 0.004", "\"top_p\": -1"), "drawing_seconds_a_row.top_p"));
  CHECK(names(fault(text, "{", "["), "JSON"));
  // Numbers so small that ratios of them, or slopes, have no end.
  CHECK(names(fault(text, "\"kv_width\": 64.0", "\"kv_width\": 1e-300"), "shape.kv_width"));
  CHECK(names(fault(text, "\"hidden\": 64", "\"hidden\": 0"), "shape.hidden"));
  CHECK(names(fault(text, "128.0,", "1e-300,"), "stages[0].generated_core_row.context"));
  CHECK(names(fault(text, "128.0,", "1023.9,"), "stages[0].generated_core_row.context"));
  std::filesystem::remove(path);
  CHECK_THROWS_AS(read_calibration(path), UserError);
}
