// The map from exceptions to exit codes.
#include "system/comm/agree.hpp"

#include <doctest/doctest.h>

#include <new>
#include <string>

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
