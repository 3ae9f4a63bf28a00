// Steps of made-up sequences, as the benchmarks run them through a model: which rows, at which positions, on which
// pages of the cache. Used by `bench decode`, `bench prefill` and `bench calibrate`.
#pragma once

#include <array>
#include <cstdint>

#include "model/config.hpp"
#include "schedule/step.hpp"
#include "system/comm/comm.hpp"

namespace moemill::bench {

// Of the sequences of all ranks.
struct Share {
  std::uint32_t first, count;
};
// This rank's even share.
Share share(std::uint32_t sequences, const Comm& world);

// Pages that hold so many tokens of one sequence.
std::uint32_t pages_of(std::uint32_t tokens);

// Whether the model has layers of each PageGroup.
std::array<bool, schedule::page_groups> groups_of(const model::ModelConfig& config);

// `rows` rows of each sequence from position `first` on; each sequence has pages of its own. Pages outside a window are
// kept, which costs only memory. Tokens depend on the sequence, not on its rank.
schedule::Step make_step(Share sequences, schedule::RowKind kind, std::uint32_t first, std::uint32_t rows,
                         std::uint64_t key, const model::ModelConfig& config);

}  // namespace moemill::bench
