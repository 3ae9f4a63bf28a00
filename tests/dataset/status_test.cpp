// What `status` reads beside the counts: the end of metrics.jsonl, whatever its length, and folders without a run.
#include "dataset/checks/status.hpp"

#include <fstream>

#include "scratch.hpp"

namespace moemill::dataset {
namespace {

RunStatus status_of(const RunPaths& paths) {
  RunCounter counter;
  return read_status(
      paths.dir, [](ShardRange) { return std::vector<std::uint32_t>(); }, counter);
}

TEST_CASE("the last whole line of metrics.jsonl is found from its end") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  RunManifest manifest;
  manifest.prompts = manifest.completions = manifest.shard_prompts = 1;
  create_run(paths, manifest, "");
  const std::string longest(40'000, 'x');  // more than is read at first, as with the counts of many experts
  struct Case {
    std::string text, last;
  };
  for (const Case& c : {Case{"", ""},
                        {"torn", ""},
                        {"\n", ""},
                        {"one\n", "one"},
                        {"one\ntorn", "one"},
                        {"one\n" + longest + "\n", longest},
                        {"one\ntwo\n" + longest, "two"},
                        {longest + "\n", longest},
                        {longest + "\ntwo\n", "two"},
                        {longest, ""}}) {
    CAPTURE(c.text.size());
    std::ofstream(paths.metrics()) << c.text;
    CHECK(status_of(paths).last_metrics == c.last);
  }
}

TEST_CASE("the end of a file is read, or all of a shorter one") {
  Scratch scratch;
  std::ofstream(scratch.path("file")) << "0123456789";
  CHECK(files::read_tail(scratch.path("file"), 4) == "6789");
  CHECK(files::read_tail(scratch.path("file"), 10) == "0123456789");
  CHECK(files::read_tail(scratch.path("file"), 100) == "0123456789");
  CHECK(files::read_tail(scratch.path("none"), 4).empty());
  CHECK_THROWS_AS(files::read_tail(scratch.dir(), 4), SystemError);
}

TEST_CASE("an absent folder and one without a run are distinguished") {
  Scratch scratch;
  CHECK_THROWS_WITH_AS(status_of({scratch.path("none")}), doctest::Contains("none: no such folder"), UserError);
  CHECK_THROWS_WITH_AS(status_of({scratch.dir()}), doctest::Contains("holds no run (there is no "), UserError);
}

}  // namespace
}  // namespace moemill::dataset
