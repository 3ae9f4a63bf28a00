// The map from exceptions to exit codes, and how ranks agree on a failure.
#include "system/comm/agree.hpp"

#include <doctest/doctest.h>

#include <new>
#include <string>

#include "base/error.hpp"
#include "system/comm/comm.hpp"

using namespace moemill;

namespace {

template <class Exception>
Failure describe(const Exception& exception) {
  try {
    throw exception;
  } catch (...) {
    return describe_current_exception();
  }
}

}  // namespace

TEST_CASE("every kind of exception has an exit code and a word for people") {
  const Failure user = describe(UserError("a"));
  CHECK(user.code == ExitCode::Usage);
  CHECK(user.text == "a");
  CHECK(std::string(user.kind) == "error");
  CHECK_FALSE(user.agreed);
  CHECK(describe(StopRequested("signal")).code == ExitCode::Stopped);
  CHECK(std::string(describe(SystemError("b")).kind) == "system error");
  CHECK(std::string(describe(ContractViolation("c")).kind) == "internal error");
  const Failure memory = describe(std::bad_alloc());
  CHECK(memory.code == ExitCode::Internal);
  CHECK(memory.text == "out of memory");
  const Failure agreed = describe(AgreedFailure(ExitCode::Stopped, "d"));
  CHECK(agreed.code == ExitCode::Stopped);
  CHECK(std::string(agreed.kind) == "stopped");
  CHECK(agreed.agreed);
}

TEST_CASE("ranks agree on the failure of the lowest rank that has one") {
  run_loopback(3, [](Comm world) {
    const auto fail = [&] {
      together(world, [&] {
        if (world.rank() > 0) user_error("rank {} cannot", world.rank());
      });
    };
    try {
      fail();
      FAIL("nothing was thrown");
    } catch (const AgreedFailure& e) {
      CHECK(e.code() == ExitCode::Usage);
      CHECK(std::string(e.what()).find("rank 1 cannot") != std::string::npos);
    }
    CHECK_NOTHROW(rank_zero(world, [] {}));
  });
}

TEST_CASE("a fault of one rank becomes that of all, with one message and one exit code") {
  run_loopback(4, [](Comm world) {
    together(world, [] {});
    std::string text;
    ExitCode code = ExitCode::Done;
    try {
      together(world, [&] {
        if (world.rank() == 3) user_error("file x is broken");
        if (world.rank() == 2) system_error("disk full");
      });
    } catch (const AgreedFailure& e) {
      text = e.what(), code = e.code();
    }
    CHECK(text.starts_with("rank 2 on "));
    CHECK(text.ends_with(": disk full"));
    CHECK(code == ExitCode::Internal);
    CHECK_THROWS_WITH_AS(rank_zero(world, [] { user_error("no model"); }), "no model", AgreedFailure);
  });
}
