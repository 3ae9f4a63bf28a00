#include "generate/row_seconds.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <utility>

using namespace moemill;
using namespace moemill::mill;

TEST_CASE("seconds of rows: shares to a bucket's width, the longest exactly, and the sum of attempts") {
  RowSeconds none;
  CHECK(none.summary()["p50"].is_null());
  RowSeconds rows;
  for (int i = 1; i <= 1000; ++i) rows.add(0.01 * i);
  CHECK(rows.rows() == 1000);
  for (auto [share, seconds] : {std::pair(0.5, 5.0), {0.9, 9.0}, {0.99, 9.9}})
    CHECK((rows.quantile(share) >= seconds - 1e-9 && rows.quantile(share) <= 1.1 * seconds));
  CHECK(rows.longest() == 10);
  CHECK(rows.quantile(1) == 10);
  RowSeconds again = RowSeconds::from(nlohmann::json::parse(rows.whole().dump()));
  CHECK(again.whole() == rows.whole());
  again += rows;
  CHECK(again.rows() == 2000);
  CHECK(again.quantile(0.9) == rows.quantile(0.9));
  for (double odd : {0.0, -1.0, 1e-9, 1e12}) rows.add(odd);
  CHECK(rows.rows() == 1004);
  for (const char* odd : {"{}", "[]", R"({"counts": [[1, 2, 3], [0, 1], [-1, 1], ["a", 1], [1, -1], [1e300, 1]]})"})
    CHECK(RowSeconds::from(nlohmann::json::parse(odd)).rows() <= 1);
}
