// How a step is cut into micro-batches. Called by layers/forward, and by whoever makes room for their rows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "layers/dispatch/exchange_shape.hpp"
#include "layers/forward_settings.hpp"
#include "model/config.hpp"
#include "schedule/step.hpp"

namespace moemill::layers {

std::uint32_t rows_of(std::span<const schedule::Segment> segments);

// The halves of a step, which keep their memory from step to step.
using Halves = std::array<std::vector<schedule::Segment>, 2>;

// Two parts of about as many rows: cut between two segments where that comes within an eighth of the middle, else
// through the one that lies there, whose second part then is like a later chunk of a prompt.
void halve(std::span<const schedule::Segment> segments, Halves& halves);

// Rows of the larger of two halves at most.
inline std::uint32_t larger_half(std::uint32_t rows) { return (rows + 1) / 2 + rows / 8; }

// What the exchange of a forward pass needs memory for.
inline ExchangeShape exchange_shape(const model::ModelConfig& config, const ForwardSettings& settings) {
  return {.hidden = config.hidden,
          .picks = config.moe.picks,
          .experts = config.moe.experts,
          .rows = settings.max_rows,
          .channels = settings.micro_batches,
          .second_rows = larger_half(settings.max_rows),
          .sum_groups = config.expert_sum == ExpertSum::Groups ? config.moe.groups : 0};
}

}  // namespace moemill::layers
