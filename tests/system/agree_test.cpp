// A fault of one rank ends a phase on all of them.
#include "system/comm/agree.hpp"

#include <doctest/doctest.h>

#include <string>

#include "base/error.hpp"
#include "system/comm/comm.hpp"

using namespace moemill;

TEST_CASE("a fault of one rank becomes that of all, with one message and one exit code") {
  run_loopback(4, [](Comm world) {
    run_on_all_ranks(world, [] {});
    std::string text;
    ExitCode code = ExitCode::Done;
    try {
      run_on_all_ranks(world, [&] {
        if (world.rank() == 3) user_error("file x is broken");
        if (world.rank() == 2) system_error("disk full");
      });
    } catch (const AgreedFailure& e) {
      text = e.what(), code = e.code();
    }
    CHECK(text.starts_with("rank 2 on "));
    CHECK(text.ends_with(": disk full"));
    CHECK(code == ExitCode::Internal);
    CHECK_THROWS_WITH_AS(run_on_rank_zero(world, [] { user_error("no model"); }), "no model", AgreedFailure);
  });
}
