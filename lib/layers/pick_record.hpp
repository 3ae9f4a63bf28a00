// The experts that the router picked for the rows of a rank's first steps, as runtime.record_picks asks for. Filled by
// the forward pass, on the host; the job writes it to picks.h5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.hpp"

namespace moemill::layers {

struct PickRecord {
  std::uint32_t steps_left = 0;                           // with rows, that are still to be recorded
  std::uint32_t steps = 0;                                // that are recorded
  std::vector<std::vector<std::uint16_t>> of_layer = {};  // [layers] of [rows, picks]; none of dense layers

  // Recording ends at so many bytes, however many steps are left: it must not take the memory of the run.
  static constexpr std::size_t most_bytes = std::size_t{256} << 20;

  void add(LayerId layer, const std::vector<GlobalExpert>& picks) {
    const auto l = static_cast<std::size_t>(layer.value);
    if (of_layer.size() <= l) of_layer.resize(l + 1);
    for (const GlobalExpert pick : picks) of_layer[l].push_back(static_cast<std::uint16_t>(pick.value));
  }
  void end_step() {
    std::size_t bytes = 0;
    for (const auto& picks : of_layer) bytes += picks.size() * sizeof(std::uint16_t);
    ++steps;
    steps_left = bytes < most_bytes ? steps_left - 1 : 0;
  }
};

}  // namespace moemill::layers
