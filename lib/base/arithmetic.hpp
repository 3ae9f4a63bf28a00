// The arithmetic of a run: model.arithmetic, and the name of the definition behind it. A backend decides where a run
// computes, its arithmetic decides which numbers come out. It is part of the answers: run.json and every output file
// name it, and one run never mixes two definitions.
//   exact-1: sums of probabilities in floating point (moemill before 2026-12)
//   exact-2: as exact-1, but sums of probabilities for top_p and the draw are whole numbers of 2^-40
//   exact-3: as exact-2, but products with weights follow kernels/gemm.hpp: groups of 32 inputs, an even and an odd
//            chain in each, subnormals as zeros
//   exact-3-int8: as exact-3, but the matrices of attention's projections, of dense and shared MLPs and of routed
//            experts are rounded to int8 when they are loaded, and the rows that they multiply when they are read
// and each of the last two with -groups: a row's experts' outputs are summed by routing groups instead of in the order
// of its picks (model.expert_sum, kernels/rows.hpp).
// lib/README.md has the rest of the definition.
#pragma once

#include <cstdint>
#include <string_view>

namespace moemill {

enum class Arithmetic : std::uint8_t { Bf16, Int8 };
constexpr Arithmetic all_arithmetics[] = {Arithmetic::Bf16, Arithmetic::Int8};

// How the outputs of a row's experts are summed.
enum class ExpertSum : std::uint8_t { Picks, Groups };
constexpr ExpertSum all_expert_sums[] = {ExpertSum::Picks, ExpertSum::Groups};

// As run.yaml has them.
constexpr std::string_view word_of(ExpertSum sum) { return sum == ExpertSum::Groups ? "groups" : "picks"; }
constexpr std::string_view word_of(Arithmetic arithmetic) { return arithmetic == Arithmetic::Int8 ? "int8" : "bf16"; }

// As run.json and the outputs have it.
constexpr std::string_view definition_of(Arithmetic arithmetic, ExpertSum sum) {
  if (sum == ExpertSum::Groups) return arithmetic == Arithmetic::Int8 ? "exact-3-int8-groups" : "exact-3-groups";
  return arithmetic == Arithmetic::Int8 ? "exact-3-int8" : "exact-3";
}
// The definition of runs whose run.json names none.
constexpr std::string_view first_arithmetic_definition = "exact-1";

// Whether this program can compute the answers of a run of that definition.
constexpr bool is_computed_here(std::string_view definition) {
  for (const Arithmetic arithmetic : all_arithmetics)
    for (const ExpertSum sum : all_expert_sums)
      if (definition == definition_of(arithmetic, sum)) return true;
  return false;
}

// Definitions from before there was a choice sum picks.
constexpr ExpertSum expert_sum_of(std::string_view definition) {
  return definition.ends_with("-groups") ? ExpertSum::Groups : ExpertSum::Picks;
}

}  // namespace moemill
