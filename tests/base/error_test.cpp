#include "base/error.hpp"

#include <doctest/doctest.h>

using namespace moemill;

TEST_CASE("errors format their message") {
  CHECK_THROWS_WITH_AS(user_error("key {} at line {}", "a.b", 3), "key a.b at line 3", UserError);
  CHECK_THROWS_AS(expect(false, "rows fit"), ContractViolation);
}
