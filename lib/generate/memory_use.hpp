// The memory that ranks have used. Filled by the engine, shown by the summary.
#pragma once

#include <cstdint>

namespace moemill::mill {

// Of one rank, at its largest so far; or of the ranks and nodes that have most.
struct MemoryUse {
  std::uint64_t peak_bytes = 0;          // with the rank's part of what its node's ranks share, so that ranks add up
  std::uint64_t rank_private_bytes = 0;  // without what they share
  std::uint64_t node_shared_bytes = 0;
  std::uint64_t huge_page_bytes = 0;  // of the weights that the rank reads, shared or not
};

}  // namespace moemill::mill
