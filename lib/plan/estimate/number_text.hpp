// Large numbers for people. Used by the answer, the table of published points and the examples.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "base/text/format.hpp"

namespace moemill::estimate {

// Rounded, such as 1,234,567; from 1e15 on with three digits, such as 1.23e+15.
inline std::string whole(double value) {
  return value < 1e15 ? thousands(static_cast<std::uint64_t>(std::llround(value))) : fmt::format("{:.3g}", value);
}

}  // namespace moemill::estimate
