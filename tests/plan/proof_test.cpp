// Published points: how well they are met, how their file is read; and the two examples to the cent.
#include <doctest/doctest.h>

#include <cmath>

#include "base/error.hpp"
#include "base/readable.hpp"
#include "plan/proof/check.hpp"
#include "plan/proof/examples.hpp"
#include "support.hpp"

using namespace moemill;
using namespace moemill::test;
using namespace moemill::estimate;

namespace {

std::string fault_of_points(const std::string& points) {
  Catalog catalog(configs);
  return fault_of_call([&] { read_points(points, "points.yaml", catalog); });
}

const std::string good_points = R"(points:
  - {id: a, date: 2025-01, source: s, hardware: H100, model: deepseek-v3, precision: fp8,
     layout: {gpus: 32, exchange: every_copy}, workload: decode, rows_per_gpu: 64, context: 1000, counted: tokens,
     published: 1000}
)";

std::string changed_points(const std::string& old, const std::string& now) { return replaced(good_points, old, now); }

}  // namespace

TEST_CASE("check: published throughputs are met") {
  Catalog catalog(configs);
  const std::string file = configs + "/published.yaml";
  const auto checked = check(read_points(read_text_file(file), file, catalog), catalog);
  const auto all = summaries(checked);
  REQUIRE(all[0].group == "all");
  CHECK(all[0].points == 70);
  CHECK(all[0].within_20 == 60);
  CHECK(all[0].within_30 == 64);
  CHECK(all[0].median_error < 0.10);
  CHECK(std::abs(all[0].bias - 1) < 0.10);
  REQUIRE(all[1].group == "tune");
  REQUIRE(all[2].group == "test");
  CHECK(all[1].points + all[2].points == 70);
  const auto share = [](const Summary& s) { return static_cast<double>(s.within_20) / s.points; };
  CHECK(share(all[2]) > share(all[1]) - 0.10);
  for (const Checked& one : checked) {
    CAPTURE(one.point.id);
    CHECK((std::abs(one.error()) <= 0.2 || !one.point.why.empty()));
  }
}

TEST_CASE("check: text and JSON hold every point and every group") {
  Catalog catalog(configs);
  const auto checked = check(read_points(good_points, "points.yaml", catalog), catalog);
  REQUIRE(checked.size() == 1);
  CHECK(checked[0].point.layout.redundant_experts == 0);
  CHECK(says(check_text(checked), {"a ", "1,000", "2025-01 s", "H100 deepseek-v3", "EP32, every copy",
                                   "64 rows at 1000 positions", "all               1"}));
  const std::string json = check_json(checked);
  CHECK(says(json, {"\"version\": 1", "\"published_tokens_per_second_per_gpu\": 1000.0", "\"within_20_percent\""}));
}

TEST_CASE("points: keys of a set are those of its points") {
  Catalog catalog(configs);
  const auto points = read_points(R"(points:
  - date: 2025
    source: s
    hardware: H100-SXM
    model: qwen3-30b-a3b
    precision: {weights: fp8, projections: bf16, cache: fp8}
    layout: {gpus: 1}
    counted: generated tokens
    points:
      - {id: a, workload: queued, requests: 10, input_tokens: 5, output_tokens: 7, published: 1}
      - {id: b, workload: decode, rows_per_gpu: 2, context: 3, rows_per_sequence: 2, kept_per_sequence: 1.5,
         published: 2, layout: {gpus: 3, exchange: all_gather}}
)",
                                  "p.yaml", catalog);
  REQUIRE(points.size() == 2);
  CHECK(points[0].workload == Workload::Queued);
  CHECK(points[0].queued.prompt_rows == 8192);
  CHECK(points[1].layout.redundant_experts == 1);  // 128 experts over 3 GPUs
  CHECK(points[1].precision.projections == Format::Bf16);
  CHECK(points[1].decode.kept_per_sequence == 1.5);
}

TEST_CASE("points: faults name file, line and key") {
  CHECK(fault_of_points(good_points) == "no fault");
  CHECK(says(fault_of_points(changed_points("context: 1000", "contxt: 1000")),
             {"points.yaml:3", "contxt", "nearest", "context"}));
  CHECK(says(fault_of_points(changed_points("H100", "H10")), {"points.yaml:2", "H10", "known", "H100"}));
  CHECK(says(fault_of_points(changed_points("deepseek-v3", "deepseek-v4")),
             {"deepseek-v4", "did you mean 'deepseek-v3'"}));
  CHECK(says(fault_of_points(changed_points("precision: fp8", "precision: fp7")), {"precision", "'fp7'", "mxfp4-fp8"}));
  CHECK(says(fault_of_points(changed_points("published: 1000", "published: -1")),
             {"published", "'-1'", "a number from"}));
  CHECK(says(fault_of_points(changed_points("date: 2025-01", "date: May 2025")), {"date", "2025-05-31"}));
  CHECK(says(fault_of_points(changed_points("every_copy", "every_copy, redundant_experts: 5")),
             {"redundant_experts", "do not divide"}));
  CHECK(says(fault_of_points(changed_points("workload: decode", "workload: train")),
             {"workload", "prefill, decode, queued"}));
  CHECK(says(fault_of_points(changed_points("1000, counted", "1000, kept_per_sequence: 2, counted")),
             {"kept_per_sequence"}));
  CHECK(says(fault_of_points(good_points + good_points.substr(8)), {"points.yaml:5", "id of an earlier point"}));
  CHECK(says(fault_of_points("points: []"), {"points", "a list of points"}));
  CHECK(says(fault_of_points("[1]"), {"points.yaml", "must be a mapping"}));
  Catalog catalog(configs);
  const auto fp4 = read_points(changed_points("precision: fp8", "precision: fp4"), "points.yaml", catalog);
  CHECK_THROWS_WITH_AS(check(fp4, catalog), doctest::Contains("does not compute in fp4"), UserError);
}

TEST_CASE("example: DeepSeek's day 6 to the cent") {
  const Day6 d;
  CHECK(d.nodes() == doctest::Approx(226.86).epsilon(1e-4));
  CHECK(std::abs(d.nodes() - d.published_nodes) < 0.2);
  CHECK(std::round(d.output_price() * 1000) == 300);
  CHECK(std::round(d.input_price() * 1000) == 60);
  CHECK(std::round(d.computed_price() * 1000) == 138);
  CHECK(d.day_price(d.published_nodes) == 87072);
  Catalog catalog(configs);
  CHECK(says(example_text("day6", catalog), {"671.03 billion", "36.6 billion", "70,272 B", "56.25 %", "95.48", "131.38",
                                             "226.9", "0.300 USD", "0.060 USD", "0.138 USD", "87,072 USD"}));
}

TEST_CASE("example: the article to the cent, and the contexts at which it holds") {
  const Article a;
  CHECK(a.tokens_per_hour() == doctest::Approx(360e6));
  CHECK(std::round(a.per_gpu()) == 1389);
  CHECK(std::round(a.per_user() * 10) == 217);
  CHECK(a.tokens_per_day() == doctest::Approx(8.64e9));
  Catalog catalog(configs);
  const double one = article_context(a, 1, catalog), two = article_context(a, 2, catalog);
  CHECK(one > 3000);
  CHECK(one < 4000);
  CHECK(two > one);
  CHECK(two < 7000);
  CHECK(says(example_text("article", catalog), {"360,000,000", "100,000", "1,389", "21.7", "8.6 G", "0.400 USD"}));
  CHECK_THROWS_WITH_AS(example_text("artcle", catalog), doctest::Contains("did you mean 'article'"), UserError);
}
