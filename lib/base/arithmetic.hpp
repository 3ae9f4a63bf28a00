// How numbers become answers. A backend says where a run computes; its arithmetic says what comes out, so it is part of
// the answers: run.json and every file of outputs name it, and rows of two definitions never meet in one run.
//   exact-1: sums of probabilities in floating point (moemill before 2026-12)
//   exact-2: sums of probabilities for top_p and the draw are whole numbers of 2^-40
// lib/README.md has the rest of the definition.
#pragma once

#include <string_view>

namespace moemill {

constexpr std::string_view arithmetic_definition = "exact-2";
// Of runs that name none.
constexpr std::string_view first_arithmetic_definition = "exact-1";

}  // namespace moemill
