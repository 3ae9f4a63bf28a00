// The width of a panel of packed weights: columns that lie together, so that one pass over k serves them all. Used by
// gemm and pack, and by the loader, which fills a matrix from panel to panel.
#pragma once

#include <cstddef>

namespace moemill::cpu {

constexpr std::size_t panel_columns = 32;

}  // namespace moemill::cpu
