// The definition of the arithmetic. A backend decides where a run computes, its arithmetic decides which numbers come
// out. It is part of the answers: run.json and every output file name it, and one run never mixes two definitions.
//   exact-1: sums of probabilities in floating point (moemill before 2026-12)
//   exact-2: as exact-1, but sums of probabilities for top_p and the draw are whole numbers of 2^-40
//   exact-3: as exact-2, but products with weights follow kernels/gemm.hpp: groups of 32 inputs, an even and an odd
//            chain in each, subnormals as zeros
// lib/README.md has the rest of the definition.
#pragma once

#include <string_view>

namespace moemill {

constexpr std::string_view arithmetic_definition = "exact-3";
// The definition of runs whose run.json names none.
constexpr std::string_view first_arithmetic_definition = "exact-1";

}  // namespace moemill
