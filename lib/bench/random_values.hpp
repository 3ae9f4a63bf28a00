// Values that benchmarks compute on: uniform in [-0.5, 0.5), the same in every run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/numbers/random.hpp"

namespace moemill::bench {

inline float value_at(std::uint64_t key, std::size_t i) {
  const auto r = philox(key, i);
  return static_cast<float>(uniform(r[0], r[1]) - 0.5);
}

}  // namespace moemill::bench
