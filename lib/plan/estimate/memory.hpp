// What a layout holds in a GPU's memory. Used by the rates of throughput.hpp and for the question whether a layout
// fits.
#pragma once

#include "plan/estimate/step.hpp"

namespace moemill::estimate {

// Bytes of one GPU. Norms, biases and routers are less than a thousandth of the weights and do not count.
struct MemoryUse {
  double weights_bytes = 0;    // attention, shared and dense MLPs, embedding and head whole; routed experts / gpus
  double redundant_bytes = 0;  // redundant experts
  double sequence_bytes = 0;   // the cache of one sequence; a layer with a window holds no more than the window
  double usable_bytes = 0;     // the memory's size * usable_memory

  // At a time, of the sequences' length. Below 1, the layout does not fit.
  double sequences() const { return (usable_bytes - weights_bytes - redundant_bytes) / sequence_bytes; }
};

MemoryUse memory_use(const Setting& setting, double sequence_tokens);

}  // namespace moemill::estimate
