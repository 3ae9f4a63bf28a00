#include <doctest/doctest.h>

#include <fstream>

#include "base/error.hpp"
#include "dataset/run_dir/expert_load_file.hpp"
#include "support/temp_dir.hpp"

using namespace moemill;
using namespace moemill::dataset;

TEST_CASE("expert load: read as written, added up, and refused with a reason if it is damaged") {
  const test::TempDir dir;
  const std::string path = dir.str() + "/expert_load.json";
  CHECK(!read_expert_load(path));
  MeasuredLoad load{"small", "ab12", 2, {1, 3}, {4, 0, 1, std::uint64_t{1} << 53}};
  write_expert_load(path, load);
  const auto found = read_expert_load(path);
  REQUIRE(found);
  CHECK(found->is_of(load));
  CHECK(found->counts == load.counts);
  load.add(*found);
  CHECK(load.counts == std::vector<std::uint64_t>{8, 0, 2, std::uint64_t{1} << 53});
  MeasuredLoad other = load;
  other.model_sha256 = "cd";
  CHECK(!other.is_of(load));
  for (const char* text :
       {"", "[]", "{}", R"({"format_version": 2})",
        R"({"format_version": 1, "model_type": "a", "model_sha256": "b", "experts": 0})",
        R"({"format_version": 1, "model_type": "a", "model_sha256": "b", "experts": 1, "layers": []})",
        R"({"format_version": 1, "model_type": "a", "model_sha256": "b", "experts": 2,
                               "layers": [{"layer": 1, "counts": [1]}]})",
        R"({"format_version": 1, "model_type": "a", "model_sha256": "b", "experts": 1,
                               "layers": [{"layer": 1, "counts": [-1]}]})",
        R"({"format_version": 1, "model_type": "a", "model_sha256": "b", "experts": 1,
                               "layers": [{"layer": 1, "counts": [1]}, {"layer": 1, "counts": [1]}]})"}) {
    CAPTURE(text);
    std::ofstream(path) << text;
    CHECK_THROWS_AS(read_expert_load(path), UserError);
  }
}
