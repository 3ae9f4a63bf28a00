// What tests of this folder share: the small models, patched copies of their config.json, and comparison with values
// that transformers printed.
#pragma once

#include <initializer_list>

#include "folders.hpp"
#include "model/config.hpp"

namespace moemill::test {

using namespace model;

inline const fs::path v3_fp8 = models / "deepseek_v3_fp8";
inline const fs::path glm4 = models / "glm4_moe";
inline const fs::path gpt_oss = models / "gpt_oss";
inline const fs::path gpt_oss_mxfp4 = models / "gpt_oss_mxfp4";
inline const fs::path mixtral = models / "mixtral";
inline const fs::path mixtral_window = models / "mixtral_window";
inline const fs::path olmoe = models / "olmoe";
inline const fs::path qwen2 = models / "qwen2_moe";
inline const fs::path qwen3 = models / "qwen3_moe";

inline ModelConfig read_reference(const fs::path& from) { return read_config(from.string()); }

// `patch` is a merge patch: null removes a key.
inline ModelConfig read_patched(const fs::path& from, const Json& patch) {
  TempDir dir;
  write_config(dir, from, patch);
  return read_config(dir.str());
}

// A copy without these keys.
inline ModelConfig read_without(const fs::path& from, std::initializer_list<const char*> keys,
                                Json patch = Json::object()) {
  for (const char* key : keys) patch[key] = nullptr;
  return read_patched(from, patch);
}

// A copy with these values, of which null is written as null.
inline ModelConfig read_with(const fs::path& from, const Json& values) {
  Json config = read_json(from / "config.json");
  config.update(values);
  TempDir dir;
  write_text(dir.path / "config.json", config.dump());
  return read_config(dir.str());
}

// Allows a few units in the last place, as two orders of operations in fp32 differ.
inline doctest::Approx near(double wanted) { return doctest::Approx(wanted).epsilon(4 * 0x1p-23); }

inline void check_close(const std::vector<float>& got, const std::vector<double>& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == near(wanted[i]));
}

// A patch that is refused, and parts of the message.
struct Refusal {
  const char* patch;
  std::vector<std::string> said;
};

// Checks that each patch is refused, by a message that names the file, too.
inline void check_refused(const fs::path& from, const std::vector<Refusal>& refusals) {
  for (const Refusal& row : refusals) {
    CAPTURE(std::string(row.patch));
    std::string message = user_error_of([&] { read_patched(from, Json::parse(row.patch)); });
    check_contains(message, row.said);
    check_contains(message, {"config.json"});
  }
}

}  // namespace moemill::test
