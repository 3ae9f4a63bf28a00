// The cost of a run.
#include "mill/summary.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

using namespace moemill;
using namespace moemill::mill;

TEST_CASE("cost follows units, hours and tokens") {
  Summary s;
  s.ranks = 8, s.nodes = 2, s.wall_seconds = 1800;
  s.held.add(1800, 8, 2, {24, 32, 24});
  s.totals.prompt_tokens = 1'500'000, s.totals.generated_tokens = 500'000;
  CostSettings settings;
  const auto json = nlohmann::json::parse(to_json(s, settings));
  CHECK(json["cost"]["total"].is_null());
  CHECK(json["core_hours_allocated"] == doctest::Approx(16));
  CHECK(json["core_hours_used"] == doctest::Approx(12));
  CHECK(ledger_line(s, settings).find("16 core-hours, 12 of them used") != std::string::npos);
  settings.hour_price = 3;
  for (auto [unit, units] : {std::pair("auto", 32), {"gpu", 8}, {"rank", 8}, {"node", 2}, {"core", 32}, {"job", 1}}) {
    settings.unit = unit;
    Cost cost = cost_of(s, settings);
    CHECK(cost.unit_hours == doctest::Approx(0.5 * units));
    CHECK(cost.total == doctest::Approx(1.5 * units));
    CHECK(cost.per_million_tokens == doctest::Approx(0.75 * units));
    CHECK(cost.per_million_output_tokens == doctest::Approx(3 * units));
  }
  s.held.add(3600, 2, 1, {2, 2, 2});  // a smaller attempt
  settings.unit = "core";
  CHECK(cost_of(s, settings).unit_hours == doctest::Approx(18));
}
