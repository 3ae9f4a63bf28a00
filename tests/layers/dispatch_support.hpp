// What the tests of the dispatch's pieces have in common.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.hpp"
#include "base/rows.hpp"
#include "model/placement.hpp"

namespace moemill::test {

using Numbers = std::vector<std::uint32_t>;

// Experts 0 to 3 on three ranks; expert 3 is held by all of them, expert 2 by ranks 1 and 2.
inline model::Placement some_twice() {
  using Slots = std::vector<std::vector<GlobalExpert>>;
  const model::LayerPlacement routed(4, Slots{{{0}, {3}}, {{3}, {2}}, {{2}, {3}, {1}}});
  return model::Placement({model::contiguous_slices(0, 3), routed});
}

template <class Values>
Numbers list(const Values& values) {
  return {values.begin(), values.end()};
}
inline Numbers list(Vector<const std::uint32_t> values) { return {values.data, values.data + values.size}; }

}  // namespace moemill::test
