// A stop that comes while the weights are read.
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
