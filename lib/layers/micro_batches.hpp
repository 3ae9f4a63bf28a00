// How a step is cut into micro-batches. Called by layers/forward.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "schedule/step.hpp"

namespace moemill::layers {

std::uint32_t rows_of(std::span<const schedule::Segment> segments);

// The halves of a step, which keep their memory from step to step.
using Halves = std::array<std::vector<schedule::Segment>, 2>;

// Two parts of about as many rows: cut between two segments where that comes within an eighth of the middle, else
// through the one that lies there, whose second part then is like a later chunk of a prompt.
void halve(std::span<const schedule::Segment> segments, Halves& halves);

// Rows of the larger of two halves at most.
inline std::size_t larger_half(std::size_t rows) { return (rows + 1) / 2 + rows / 8; }

}  // namespace moemill::layers
