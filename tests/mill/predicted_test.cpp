// Predicted beside measured time: the ledger's words, JSON and back, and what is left of a run.
#include "mill/predicted.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "mill/run_prediction.hpp"
#include "mill/summary.hpp"

using namespace moemill;
using namespace moemill::mill;

namespace {

Predicted example() { return {"file", {12, 120, 226, 9, 6}, {10, 121, 239, 10, 8}}; }

// A step of one row takes so many seconds.
PredictedSteps steps_of(double seconds) {
  calibration::Calibration c;
  calibration::Stages s;
  s.outside = calibration::Curve({{0, seconds}});
  c.stages = {s};
  model::ModelConfig config;
  config.layers = 1, config.layer_is_moe = {false}, config.vocabulary = config.hidden = 1;
  config.attention = model::AttentionKind::Grouped;
  c.shape = calibration::shape_of(config);
  return PredictedSteps(StepSeconds({calibration::StepPredictor(c, config, {1, 1})}, 1));
}

}  // namespace

TEST_CASE("the ledger names the part that the error comes from") {
  CHECK(text_of(example()) ==
        "predicted 373 s for this work (load 12, prefill 120, decode 226, exchange 9.0, idle 6.0), measured 388 (+4.0 "
        "%): decode +6 %");
  Predicted nothing = example();
  nothing.predicted = {};
  CHECK(text_of(nothing).find("predicted 0.00 s") == 0);
  CHECK(calibration_hint(4, "models/m").find("`mpirun -n 4 moemill bench calibrate --model models/m -o") !=
        std::string::npos);
  CHECK(calibration_hint(1, "m").find("`moemill bench") != std::string::npos);
}

TEST_CASE("summary.json has both times by part, which add up; a line of metrics is read back") {
  Summary s;
  s.wall_seconds = 388, s.totals.prompt_tokens = 1'500'000, s.totals.generated_tokens = 500'000;
  s.held.add(388, 1, 1, {1, 1, 1});
  CostSettings price;
  CHECK(nlohmann::json::parse(to_json(s, price))["predicted"].is_null());
  s.predicted = example();
  auto json = nlohmann::json::parse(to_json(s, price))["predicted"];
  CHECK(json["wall_seconds"] == doctest::Approx(373));
  CHECK(json["per_million_tokens"].is_null());
  CHECK(json["error"] == doctest::Approx(388.0 / 373 - 1));
  for (const auto& times : {json, json["measured"]}) {
    double sum = 0;
    for (const Part& part : all_parts) sum += times[fmt::format("{}_seconds", part.name)].get<double>();
    CHECK(times["wall_seconds"] == doctest::Approx(sum));
  }
  price.hour_price = 2;
  json = nlohmann::json::parse(to_json(s, price))["predicted"];
  CHECK(json["per_million_tokens"] == doctest::Approx(cost_of(s, price).per_million_tokens * 373 / 388));

  std::optional<Predicted> attempts;
  for (int attempt = 0; attempt < 2; ++attempt) add_to(attempts, *predicted_in({{"predicted", json}}));
  CHECK(attempts->predicted.decode == doctest::Approx(2 * 226));
  CHECK(attempts->measured.wall() == doctest::Approx(2 * 388));
  for (const char* text : {"{}", R"({"predicted":null})", R"({"predicted":{}})", R"({"predicted":{"measured":[1]}})"})
    CHECK(!predicted_in(nlohmann::json::parse(text)));
}

TEST_CASE("steps are measured by part, and predicted once their shares have come") {
  PredictedSteps steps = steps_of(0.25);
  calibration::StepFacts facts;
  facts.generated = {1, 10};
  steps.add(std::vector<StepShare>(1));  // before the first step
  CHECK(steps.predicted().wall() == 0);
  steps.take(schedule::Phase::Decode, facts, 0.5, {.seconds = 0.1});
  steps.add(std::vector{steps.share()});
  steps.take(schedule::Phase::Prefill, facts, 0.7, {.seconds = 0.3});
  steps.add(std::vector{steps.share()});
  steps.take(schedule::Phase::Prefill, {}, 0.2, {.seconds = 0.45});  // without rows: all of it is idle time
  steps.add(std::vector{steps.share()});
  steps.add(std::vector{steps.share()});  // a step's shares count once
  CHECK(steps.predicted().decode == doctest::Approx(0.25));
  CHECK(steps.predicted().wall() == doctest::Approx(0.75));
  CHECK(steps.measured().decode == doctest::Approx(0.4));
  CHECK(steps.measured().prefill == doctest::Approx(0.5));
  CHECK(steps.measured().exchange == doctest::Approx(0.3));
  CHECK(steps.measured().idle == doctest::Approx(0.2));

  const RunPrediction run{"file", {}, 2, 0, 0, steps};
  const Predicted so_far = run.so_far(3, 10);
  CHECK(so_far.predicted.wall() == doctest::Approx(2.75));
  CHECK(so_far.measured.wall() == doctest::Approx(10));
  CHECK(so_far.measured.idle == doctest::Approx(10 - 3 - 1.2));
}

TEST_CASE("what is left follows from the lengths and the speed so far") {
  PredictedSteps steps = steps_of(10);
  calibration::StepFacts facts;
  facts.generated = {1, 10};
  const Forecast expected{{0, 100, 300, 0, 0}, 40, 1000, 3000, false};  // 0.1 s for a token of either kind
  const RunPrediction run{"file", expected, 0, 3000, 0, steps};
  Totals t;
  CHECK(run.seconds_left(t, 30, 0) == doctest::Approx(400));
  t.prompt_tokens = 1000, t.generated_tokens = 1000;
  CHECK(run.seconds_left(t, 30, 0) == doctest::Approx(200));  // nothing has ended: answers reach max_tokens
  t.completions = 20;                                         // answers have 50 tokens; 10 are left
  CHECK(run.seconds_left(t, 10, 0) == doctest::Approx(50));
  t.completions = 1;  // not more than max_tokens
  CHECK(run.seconds_left(t, 29, 0) == doctest::Approx(200));
  steps.take(schedule::Phase::Decode, facts, 20, {});
  steps.add(std::vector{steps.share()});
  CHECK(run.seconds_left(t, 29, 20) == doctest::Approx(400));  // twice as slow as predicted
  CHECK(run.seconds_left(t, 0, 20) == 0);
}
