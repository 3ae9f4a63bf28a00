#include "base/log.hpp"

#include <doctest/doctest.h>

#include "base/error.hpp"

using namespace moemill;

TEST_CASE("log levels are checked") {
  CHECK(log::parse_level("warning") == log::Level::Warning);
  CHECK_THROWS_AS(log::parse_level("loud"), UserError);
}
