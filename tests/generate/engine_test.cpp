// A stop that comes while the weights are read, and what ranks of a node have in common afterwards.
#include "generate/engine.hpp"

#include <doctest/doctest.h>

#include <string>

#include "base/error.hpp"
#include "system/comm/agree.hpp"
#include "system/comm/comm.hpp"

using namespace moemill;
using namespace moemill::mill;

TEST_CASE("a stop while weights are read ends the loading on all ranks, as a stop") {
  run_loopback(2, [](Comm world) {
    RunConfig config;
    config.model.path = std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3";
    config.parallel.node_memory = "off";  // so that rank 1 has pieces of its own
    const ModelFolder model = open_model(config.model);
    const Ranks ranks = arrange_ranks(world, config.parallel);
    int pieces = 0;
    auto stop_at_ten = [&] {
      if (world.rank() == 1 && ++pieces == 10) throw StopRequested("SIGTERM");
    };
    ExitCode code = ExitCode::Done;
    std::string text;
    try {
      Engine(config, model, ranks, {}, stop_at_ten);
    } catch (const AgreedFailure& e) {
      code = e.code(), text = e.what();
    }
    CHECK(code == ExitCode::Stopped);
    CHECK(text.starts_with("rank 1 on "));
    CHECK(text.ends_with(": SIGTERM"));
    if (world.rank() == 1) CHECK(pieces == 10);
  });
}

TEST_CASE("a stop of any rank ends the loading of a node that loads together") {
  run_loopback(3, [](Comm world) {
    RunConfig config;
    config.model.path = std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3";
    const ModelFolder model = open_model(config.model);
    const Ranks ranks = arrange_ranks(world, config.parallel);
    ExitCode code = ExitCode::Done;
    try {
      Engine(config, model, ranks, {}, [] { throw StopRequested("SIGTERM"); });
    } catch (const AgreedFailure& e) {
      code = e.code();
      CHECK(std::string(e.what()).ends_with("SIGTERM"));
    }
    CHECK(code == ExitCode::Stopped);
  });
}

TEST_CASE("the ranks of a node use one copy of the weights, and their memory adds up") {
  run_loopback(3, [](Comm world) {
    RunConfig config;
    config.model.path = std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3";
    const ModelFolder model = open_model(config.model);
    JobEstimate job;
    job.sequences = 1, job.likely_tokens = job.longest_tokens = 8;
    std::string digest;
    for (const char* setting : {"off", "auto", "required"}) {
      CAPTURE(setting);
      config.parallel.node_memory = setting;
      const Ranks ranks = arrange_ranks(world, config.parallel);
      const Engine engine(config, model, ranks, job);
      if (digest.empty()) digest = engine.weights_digest();
      CHECK(engine.weights_digest() == digest);
      const MemoryUse use = engine.memory_use();
      const bool shared = setting != std::string("off");
      CHECK((use.node_shared_bytes > 0) == shared);
      CHECK((engine.backend().memory().weights > 0) == !shared);
      CHECK(use.peak_bytes == use.rank_private_bytes + use.node_shared_bytes / 3);
    }
  });
}
