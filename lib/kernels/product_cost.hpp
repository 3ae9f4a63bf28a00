// What a product with weights costs by its rows, for those who split products over threads or ranks. They must agree on
// it, or one splits evenly what the other does not.
#pragma once

#include <cstdint>

namespace moemill {

// Below so many rows, reading the weights is what takes the time.
inline constexpr std::uint32_t least_product_rows = 8;

}  // namespace moemill
