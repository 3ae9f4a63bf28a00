// Division and multiples that round up. Used wherever sizes are cut into pieces, pages, panels or cache lines.
#pragma once

#include <concepts>

namespace moemill {

// The number of pieces of size `step` that cover `x`.
template <std::unsigned_integral T>
constexpr T divide_up(T x, T step) {
  return (x + step - 1) / step;
}

// The smallest multiple of `step` that is not below `x`.
template <std::unsigned_integral T>
constexpr T round_up(T x, T step) {
  return divide_up(x, step) * step;
}

}  // namespace moemill
