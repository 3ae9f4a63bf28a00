// Ranks that find different files under the model's path.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "generate/engine.hpp"
#include "support/temp_dir.hpp"
#include "system/comm/agree.hpp"
#include "system/comm/comm.hpp"

using namespace moemill;
using namespace moemill::mill;
namespace fs = std::filesystem;

namespace {

// A copy of a model; in one of its files the last bit of the first number is turned around.
struct ChangedModel : test::TempDir {
  ChangedModel(const fs::path& from, const char* file) : TempDir(from) {
    std::fstream weights(path / file, std::ios::in | std::ios::out | std::ios::binary);
    std::uint64_t header = 0;
    weights.read(reinterpret_cast<char*>(&header), 8);
    const auto first = static_cast<std::streamoff>(8 + header);
    weights.seekg(first);
    const char kept = static_cast<char>(weights.get());
    weights.seekp(first);
    weights.put(static_cast<char>(kept ^ 1));
    REQUIRE(weights.good());
  }
};

}  // namespace

TEST_CASE("ranks whose copies of the model differ are refused") {
  const fs::path original = fs::path(MOEMILL_TEST_DATA) / "models/deepseek_v3";
  // The third file begins with a layer that is not used.
  for (const char* file : {"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"}) {
    CAPTURE(file);
    const ChangedModel changed(original, file);
    run_loopback(2, [&](Comm world) {
      RunConfig config;
      config.model.path = world.rank() == 0 ? original : changed.path;
      config.parallel.expert_domain = "1";  // each has all experts
      const ModelFolder model = open_model(config.model);
      const Ranks ranks = arrange_ranks(world, config.parallel);
      JobEstimate job;
      job.sequences = 1, job.likely_tokens = job.longest_tokens = 8;
      std::string refusal;
      try {
        Engine(config, model, ranks, job);
      } catch (const AgreedFailure& e) {
        CHECK(e.code() == ExitCode::Usage);
        refusal = e.what();
      }
      CHECK(refusal.find(changed.path.string() + ": has different weights here than rank 0 has read") !=
            std::string::npos);
      config.model.path = changed.path;
      CHECK_NOTHROW(Engine(config, model, ranks, job));
    });
  }
}
