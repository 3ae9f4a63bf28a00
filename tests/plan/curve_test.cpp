// Curves show what planners of machines know, and a calibrated machine takes its calibration's steps.
#include "plan/answer/curve.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "plan/answer/calibrated.hpp"
#include "support.hpp"

using namespace moemill;
using namespace moemill::test;
using namespace moemill::estimate;

namespace {

Question curve_question(std::vector<std::string> hardware, std::vector<std::uint32_t> gpus) {
  Question q;
  q.model = "deepseek-v3", q.hardware = std::move(hardware), q.gpus = std::move(gpus);
  q.work = {10e6, equal_lengths(1500), equal_lengths(600), 0};
  return q;
}

PlanCurve made(Axis axis, const Question& q, Catalog& catalog) {
  const Search search = search_plans(q, catalog);
  REQUIRE(!search.plans.empty());
  return curve_of(axis, q, search.plans, search.plans.front(), catalog);
}

// The price of answers at a value of the curve.
double output_at(const PlanCurve& curve, double value) {
  const auto at =
      std::find_if(curve.points.begin(), curve.points.end(), [=](const auto& p) { return p.value == value; });
  REQUIRE(at != curve.points.end());
  REQUIRE(at->plan.has_value());
  return at->prices.output;
}

calibration::Curve steady(double seconds) { return calibration::Curve({{1, seconds}, {1000, seconds}}); }

calibration::Calibration node_calibration() {
  calibration::Calibration c;
  c.machine.cpu = "a CPU", c.machine.isa = "avx2", c.machine.ranks_per_node = 2, c.machine.threads_per_rank = 4;
  c.ranks = 2, c.model = "configs/models/olmoe-1b-7b";
  calibration::Stages s;
  s.prompt_projections = s.generated_projections = s.small = s.dense = s.shared = s.expert = steady(1e-5);
  s.dispatch = s.combine = s.outside = s.generated_core = s.generated_by_context = s.head = steady(1e-5);
  s.prompt_by_context = steady(1e-6);
  c.stages = {s};
  c.load_bytes_per_second = 2e9;
  return c;
}

}  // namespace

TEST_CASE("curve: answers are cheaper with the batch until memory ends") {
  Catalog catalog(configs);
  const PlanCurve curve = made(Axis::Batch, curve_question({"H100"}, {144}), catalog);
  REQUIRE(curve.points.size() > 5);
  for (std::size_t i = 1; i < curve.points.size(); ++i)
    CHECK(curve.points[i].prices.output < curve.points[i - 1].prices.output);
  CHECK(curve.points.back().memory_ends());
  CHECK(!curve.points.front().memory_ends());
  CHECK(says(curve_text(curve), {"curve over batch (sequences_per_gpu), H100-SXM",
                                 "memory has room for no larger batch", "the bound of answers changes between"}));
}

TEST_CASE("curve: a batch is no larger than the work, and says why the largest is not the cheapest") {
  Catalog catalog(configs);
  Question q = curve_question({"H100"}, {144});
  q.work.prompts = 144 * 200;
  const PlanCurve curve = made(Axis::Batch, q, catalog);
  CHECK(curve.points.back().value == 200);
  q.work.prompts = 144 * 700;
  q.work.output = {600, 1200, 20'000, Lengths::Kind::Measured, 0};
  const PlanCurve uneven = made(Axis::Batch, q, catalog);
  REQUIRE(uneven.notes.size() == 1);
  CHECK(says(uneven.notes.front(), {"cheapest in all is", "GPU-hours", "idle"}));
}

TEST_CASE("curve: the price names where another machine, or the budget, costs the same") {
  Catalog catalog(configs);
  Question q = curve_question({"H100", "H200"}, {144});
  const Search search = search_plans(q, catalog);
  REQUIRE(search.plans.size() == 2);
  const Plan &best = search.plans[0], &other = search.plans[1];
  const auto notes = curve_of(Axis::Price, q, search.plans, best, catalog).notes;
  REQUIRE(notes.size() == 1);
  CHECK(says(notes[0], {"break-even: at ", other.hardware->name.c_str(), " a GPU-hour"}));
  q.hour_price = other.cost() / best.gpu_hours();
  q.hardware = {"H100"};
  if (best.hardware->name == "H100-SXM")
    CHECK(search_plans(q, catalog).plans.front().cost() == doctest::Approx(other.cost()));
  q.limits.budget = 1e9;
  CHECK(says(curve_of(Axis::Price, q, search.plans, best, catalog).notes[0], {"budget of 1,000,000,000"}));
}

TEST_CASE("curve: more GPUs of a group are cheaper only until memory does not limit the batch") {
  Catalog catalog(configs);
  const PlanCurve curve = made(Axis::Gpus, curve_question({"H100"}, {144}), catalog);
  CHECK(!curve.points.front().plan);  // one GPU has no room for the weights
  CHECK(output_at(curve, 16) > 1.5 * output_at(curve, 24));
  CHECK(output_at(curve, 24) > output_at(curve, 48));
  CHECK(output_at(curve, 48) < output_at(curve, 144));
  CHECK(output_at(curve, 144) < output_at(curve, 256));
}

TEST_CASE("curve: a promise of 15 tokens per second costs little, one of 40 multiples") {
  Catalog catalog(configs);
  const PlanCurve curve = made(Axis::Speed, curve_question({"H100"}, {}), catalog);
  const double bulk = output_at(curve, 0);
  CHECK(output_at(curve, 15) < 1.2 * bulk);
  CHECK(output_at(curve, 40) > 2 * bulk);
  CHECK(!curve.points.back().plan);  // 100 tokens/s
}

TEST_CASE("curve: a faster network moves the bound away from the exchange, as one domain of fast links does") {
  Catalog catalog(configs);
  const Question q = curve_question({"H100"}, {144});
  const PlanCurve curve = made(Axis::Network, q, catalog);
  const auto bound = [](const PlanCurvePoint& point) { return std::string_view(point.answers_bound); };
  CHECK(bound(curve.points.front()) == "network");
  CHECK(bound(curve.points.back()) != "network");
  CHECK(output_at(curve, 12.5) > 2 * output_at(curve, 50));
  Hardware joined = catalog.hardware("H100");
  joined.name = "joined", joined.scale_up_gpus = 1u << 20;
  catalog.add(joined);
  Question other = q;
  other.hardware = {"joined"};
  const double apart = search_plans(q, catalog).plans.front().cost();
  CHECK(search_plans(other, catalog).plans.front().cost() < 0.9 * apart);
}

TEST_CASE("curve: prices are in proportion, prompts of any length that the model holds") {
  Catalog catalog(configs);
  const Question q = curve_question({"H100"}, {144});
  const PlanCurve prices = made(Axis::Price, q, catalog);
  CHECK(output_at(prices, 4) == doctest::Approx(2 * output_at(prices, 2)));
  const PlanCurve contexts = made(Axis::Context, q, catalog);
  CHECK(output_at(contexts, 65536) > 5 * output_at(contexts, 1024));
  CHECK(contexts.points.back().value <= catalog.model("deepseek-v3").max_positions);
  CHECK(axis_named("price") == Axis::Price);
  CHECK(says(fault_of_call([] { axis_named("prices"); }), {"--curve prices", "price", "all"}));
}

TEST_CASE("calibrated: a CPU node's steps are its calibration's, and its price is of a node or a core") {
  Catalog catalog(configs);
  const std::string text =
      "name: node\nkind: cpu\ncalibration: c.json\nmemory: {gbytes: 128}\n"
      "price: {per_hour: 3, unit: node, date: 2026-01, source: us}\n";
  const CalibratedSteps steps(node_calibration(), catalog.model("olmoe-1b-7b"));
  const Hardware read = read_hardware(text, "folder/node.yaml", catalog.efficiencies());
  CHECK(read.calibration == "folder/c.json");
  catalog.add(calibrated(read, steps));
  Question q = curve_question({"node"}, {2, 4});
  q.model = "olmoe-1b-7b";
  const Search search = search_plans(q, catalog);
  REQUIRE(search.plans.size() == 2);
  const Plan& plan = search.plans.front();
  CHECK(plan.gpu_hour_price == 1.5);  // 2 ranks share a node
  CHECK(!plan.is_split);
  CHECK(plan.hardware->memory_bytes == 64e9);
  CHECK(plan.hardware->efficiencies.load_gbytes_per_second == 2);
  const double rows = plan.decode.rows_per_gpu, context = q.work.context();
  calibration::StepFacts facts;
  facts.generated = {rows, rows * context};
  facts.drawn[static_cast<std::size_t>(calibration::Drawing::TopP)] = rows;
  facts.rows_of_all_ranks = rows * plan.decode.layout.gpus;
  const calibration::StepPredictor predictor(node_calibration(), catalog.model("olmoe-1b-7b"),
                                             {plan.decode.layout.gpus, plan.decode.layout.micro_batches});
  CHECK(plan.decode.rate.time.seconds() == doctest::Approx(predictor.predict(facts).seconds()));
  CHECK(says(calibration_text(steps), {"2 ranks", "4 threads", "a CPU", "avx2", "olmoe"}));
  // By the core: 4 of a rank.
  const std::string cores = replaced(text, "per_hour: 3, unit: node", "per_hour: 0.1, unit: core");
  catalog.add(calibrated(read_hardware(cores, "node.yaml", catalog.efficiencies()), steps));
  CHECK(search_plans(q, catalog).plans.front().gpu_hour_price == doctest::Approx(0.4));
  CHECK(says(fault_of_call([&] {
               read_hardware(replaced(text, "unit: node", "unit: gpu"), "node.yaml", catalog.efficiencies());
             }),
             {"node.yaml:5", "price.unit", "node, core"}));
}
