#include "base/text/format.hpp"

#include <doctest/doctest.h>

using namespace moemill;

TEST_CASE("numbers for people") {
  CHECK(thousands(7) == "7");
  CHECK(thousands(1234567) == "1,234,567");
  CHECK(clock_text(4.26) == "4.3s");
  CHECK(clock_text(245) == "4m05s");
  CHECK(clock_text(11220) == "3h07m");
}
