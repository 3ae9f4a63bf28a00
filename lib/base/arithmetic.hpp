// The definition of the arithmetic. A backend decides where a run computes, its arithmetic decides which numbers come
// out. It is part of the answers: run.json and every output file name it, and one run never mixes two definitions.
//   exact-1: sums of probabilities in floating point (moemill before 2026-12)
//   exact-2: sums of probabilities for top_p and the draw are whole numbers of 2^-40
// lib/README.md has the rest of the definition.
#pragma once

#include <string_view>

namespace moemill {

constexpr std::string_view arithmetic_definition = "exact-2";
// The definition of runs whose run.json names none.
constexpr std::string_view first_arithmetic_definition = "exact-1";

}  // namespace moemill
