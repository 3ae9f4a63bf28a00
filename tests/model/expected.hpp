// Patched copies of the small models' config.json, and comparison with values that transformers printed.
#pragma once

#include "folders.hpp"
#include "model/config.hpp"

namespace moemill::test {

// `patch` is a merge patch: null removes a key.
inline model::ModelConfig read_patched(const fs::path& from, const Json& patch) {
  TempDir dir;
  write_config(dir, from, patch);
  return model::read_config(dir.str());
}

// As read_patched, but null is written as null.
inline model::ModelConfig read_with(const fs::path& from, const Json& values) {
  Json config = read_json(from / "config.json");
  config.update(values);
  TempDir dir;
  write_text(dir.path / "config.json", config.dump());
  return model::read_config(dir.str());
}

// fp32 against fp32 by two orders of operations: a few units in the last place.
inline doctest::Approx near(double wanted) { return doctest::Approx(wanted).epsilon(4 * 0x1p-23); }

inline void check_close(const std::vector<float>& got, const std::vector<double>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == near(wanted[i]));
}

// Each patch is refused, by a message that names the file and holds all of `said`.
struct Refusal {
  const char* patch;
  std::vector<std::string> said;
};
inline void check_refused(const fs::path& from, const std::vector<Refusal>& refusals) {
  for (const Refusal& row : refusals) {
    CAPTURE(std::string(row.patch));
    std::string message = user_error_of([&] { read_patched(from, Json::parse(row.patch)); });
    check_contains(message, row.said);
    check_contains(message, {"config.json"});
  }
}

}  // namespace moemill::test
