// Random weights that need no files: element i of a tensor is a pure function of (tensor name, i), so all ranks see the
// same tensor whatever part they hold. For benchmarks and tests.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/numbers/bf16.hpp"

namespace moemill::model {

// Elements [first, first + count) of the tensor, uniform with standard deviation `deviation`.
void dummy_values(std::string_view tensor, std::uint64_t first, std::uint64_t count, float deviation, bf16* out);
void dummy_values(std::string_view tensor, std::uint64_t first, std::uint64_t count, float deviation, float* out);

}  // namespace moemill::model
