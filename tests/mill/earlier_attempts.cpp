// What a summary takes over from the attempts before, also from those that were killed.
#include <doctest/doctest.h>

#include <fstream>

#include "base/clock.hpp"
#include "dataset/attempts.hpp"
#include "mill/progress.hpp"
#include "support/temp_dir.hpp"

using namespace moemill;
using namespace moemill::mill;

namespace {

struct Folder {
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
  Folder folder;
  const std::string attempts = folder.paths.attempts();
  put(attempts, line("2026-01-31T12:00:00Z", 1, "begin"));
  put(attempts, line("2026-01-31T12:01:40Z", 1, "end"));
  put(attempts, line("2026-01-31T12:10:00Z", 2, "begin") + "{\"torn\n");
  put(attempts, line("2026-01-31T12:10:30Z", 2, "killed", "last_sign_of_life"));
  put(attempts, line("2026-01-31T12:20:00Z", 3, "begin"));  // killed, and nobody knows when
  put(attempts, line("2026-01-31T12:30:00Z", 4, "begin"));
  put(attempts, line("2026-01-31T12:29:00Z", 4, "killed", "last_sign_of_life"));  // of another clock
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

TEST_CASE("earlier attempts: what is recorded of a killed one is read back") {
  Folder folder;
  dataset::record(folder.paths, dataset::AttemptBegin{1, 1, 1, {"here"}, "", 0});
  dataset::record(folder.paths, dataset::AttemptKilled{1, std::time(nullptr) + 60});
  CHECK_FALSE(dataset::read_end(folder.paths, 1));
  const auto seconds = dataset::attempt_seconds(folder.paths);
  REQUIRE(seconds.contains(1));
  CHECK(seconds.at(1) >= 60);
}
