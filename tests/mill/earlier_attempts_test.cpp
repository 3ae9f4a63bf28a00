// What a summary adds from earlier attempts, also from those that were killed.
#include <doctest/doctest.h>

#include <fstream>

#include "base/clock.hpp"
#include "dataset/run_dir/attempts.hpp"
#include "mill/progress.hpp"
#include "support/temp_dir.hpp"

using namespace moemill;
using namespace moemill::mill;

namespace {

struct RunFolder {
  test::TempDir folder;
  dataset::RunPaths paths{folder.str()};
};

void put(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::app) << text; }

std::string line(const char* time, int attempt, const char* event, const char* key = "time") {
  return fmt::format("{{\"{}\":\"{}\",\"attempt\":{},\"event\":\"{}\"}}\n", key, time, attempt, event);
}

}  // namespace

TEST_CASE("UTC as text is read back, other text is not") {
  CHECK(utc_text(1767225599) == "2025-12-31T23:59:59Z");
  CHECK(parse_utc("2025-12-31T23:59:59Z") == 1767225599);
  for (const char* text : {"", "2025-12-31", "2025-12-31T23:59:59Z ", "2025-13-31T23:59:59Z", "yesterday"})
    CHECK_FALSE(parse_utc(text));
}

TEST_CASE("earlier attempts: each lasts from its begin to its end or last sign of life") {
  RunFolder folder;
  const std::string attempts = folder.paths.attempts();
  put(attempts, line("2026-01-31T12:00:00Z", 1, "begin"));
  put(attempts, line("2026-01-31T12:01:40Z", 1, "end"));
  put(attempts, line("2026-01-31T12:10:00Z", 2, "begin") + "{\"torn\n");
  put(attempts, line("2026-01-31T12:10:30Z", 2, "killed", "last_sign_of_life"));
  put(attempts, line("2026-01-31T12:20:00Z", 3, "begin"));  // killed at an unknown time
  put(attempts, line("2026-01-31T12:30:00Z", 4, "begin"));
  put(attempts, line("2026-01-31T12:29:00Z", 4, "killed", "last_sign_of_life"));  // by a different clock
  put(attempts, line("2026-01-31T12:40:00Z", 5, "begin"));
  put(folder.paths.metrics(),
      R"({"attempt":1,"wall_seconds":100.5,"load_seconds":2,"generated_tokens":10})"
      "\n"
      R"({"attempt":3,"wall_seconds":7,"load_seconds":3,"generated_tokens":20,"row_seconds":{"max":9,"counts":[[8,5]]}})"
      "\n"
      R"({"attempt":5,"wall_seconds":1000,"generated_tokens":40})"
      "\n");
  const EarlierAttempts sum = read_earlier_attempts(folder.paths, 5);
  CHECK(sum.wall_seconds == doctest::Approx(100.5 + 30 + 7 + 0));
  CHECK(sum.load_seconds == doctest::Approx(5));
  CHECK(sum.totals.generated_tokens == 30);
  CHECK(sum.row_seconds.rows() == 5);
  CHECK(sum.row_seconds.longest() == 9);
}

TEST_CASE("earlier attempts: what is recorded is read back") {
  RunFolder folder;
  dataset::record(folder.paths, dataset::AttemptBegin{1, 4, 2, {"here"}, "", 0, {16, 64, 16}});
  dataset::record(folder.paths, dataset::AttemptKilled{1, std::time(nullptr) + 60});
  CHECK_FALSE(dataset::read_end(folder.paths, 1));
  auto records = dataset::attempt_records(folder.paths);
  REQUIRE(records.contains(1));
  CHECK(records.at(1).seconds.value() >= 60);
  CHECK(records.at(1).cores.allocated == 64);
  dataset::record(folder.paths, dataset::AttemptBegin{2, 4, 2, {"here"}, "", 0, {16, 64, 16}});
  dataset::record(folder.paths, dataset::AttemptEnd{2, 75, "", 0, 1800, {16, 64, 16}});
  const auto text = files::read_text(folder.paths.attempts()).value();
  CHECK(text.find("\"core_hours_allocated\":32.0,\"core_hours_used\":8.0") != std::string::npos);
  const EarlierAttempts sum = read_earlier_attempts(folder.paths, 3);
  CHECK(sum.held.core_seconds_used >= 16 * 1860);
  CHECK(sum.held.node_seconds >= 2 * 1860);
}

TEST_CASE("earlier attempts: the first failure is the end, even after an end that was recorded too early") {
  RunFolder folder;
  for (const auto& [code, reason] : {std::pair(0, "done"), {1, "damaged"}, {1, "later"}})
    dataset::record(folder.paths, dataset::AttemptEnd{1, code, reason, 0, 1800, {16, 64, 16}});
  CHECK(dataset::read_end(folder.paths, 1)->reason == "damaged");
}

TEST_CASE("earlier attempts: a clock that jumps makes no days, an attempt's own seconds count") {
  RunFolder folder;
  const std::string attempts = folder.paths.attempts();
  put(attempts, line("2026-01-31T12:00:00Z", 1, "begin"));
  put(attempts, R"({"time":"2026-02-02T12:00:00Z","attempt":1,"event":"end","exit_code":75,"seconds":90.5})"
                "\n");
  put(attempts, line("2026-02-02T12:00:00Z", 2, "begin"));
  put(attempts, R"({"last_sign_of_life":"2026-02-04T12:00:00Z","attempt":2,"event":"killed","seconds":30})"
                "\n");
  CHECK(read_earlier_attempts(folder.paths, 3).wall_seconds == doctest::Approx(120.5));
}

TEST_CASE("tries without a row: killed ones of one job, since the last row or orderly end") {
  RunFolder folder;
  const std::string attempts = folder.paths.attempts();
  auto begin = [&](int attempt, int rows, const char* job = "\"7\"") {
    put(attempts, fmt::format("{{\"attempt\":{},\"event\":\"begin\",\"rows_before\":{},\"slurm_job_id\":{}}}\n",
                              attempt, rows, job));
  };
  auto end = [&](int attempt, int code) {
    put(attempts, fmt::format("{{\"attempt\":{},\"event\":\"end\",\"exit_code\":{}}}\n", attempt, code));
  };
  CHECK(dataset::tries_without_a_row(folder.paths, 0) == 0);
  for (int attempt : {1, 2, 3}) begin(attempt, 0);
  CHECK(dataset::tries_without_a_row(folder.paths, 0) == 3);
  CHECK(dataset::tries_without_a_row(folder.paths, 5) == 0);  // the last attempt added rows
  begin(4, 5);
  CHECK(dataset::tries_without_a_row(folder.paths, 5) == 1);
  begin(5, 5);
  end(5, 1);
  CHECK(dataset::tries_without_a_row(folder.paths, 5) == 2);
  begin(6, 5);
  end(6, 75);  // saved its partial answers
  CHECK(dataset::tries_without_a_row(folder.paths, 5) == 0);
  begin(7, 5);
  begin(8, 5, "\"8\"");  // a different job, which may have more memory
  CHECK(dataset::tries_without_a_row(folder.paths, 5) == 1);
  begin(9, 5, "null");
  begin(10, 5, "null");
  CHECK(dataset::tries_without_a_row(folder.paths, 5) == 2);
}
