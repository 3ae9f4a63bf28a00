// What products take of a stream's scratch memory. Called by planning, which counts it before there is a step.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/stream.hpp"

namespace moemill::cpu {

// Bytes per thread, at most, of products with matrices of up to `inputs` inputs, whatever their rows and formats.
std::size_t product_scratch_bytes(const Stream& stream, std::uint32_t inputs);

}  // namespace moemill::cpu
