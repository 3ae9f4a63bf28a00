// The sizes that all parts of an exchange share.
#pragma once

#include <cstdint>

namespace moemill::layers {

struct ExchangeShape {
  std::uint32_t hidden = 0;
  std::uint32_t picks = 0;     // of a row
  std::uint32_t experts = 0;   // of a layer, on all ranks
  std::uint32_t rows = 0;      // of one rank in a micro-batch, at most
  std::uint32_t channels = 1;  // micro-batches
};

}  // namespace moemill::layers
