// The rows that this rank computes in a layer, its own and those of the other ranks, and where the results go. Made by
// the exchange, worked through by layers/experts. A pair is one (row, expert); pairs are listed by the expert's slot,
// so that all ranks' rows for an expert meet in one product.
#pragma once

#include <cstdint>
#include <span>

#include "base/numbers/bf16.hpp"
#include "base/rows.hpp"

namespace moemill::layers {

struct ReceivedRows {
  Rows<const bf16> rows;                        // [rows, hidden]
  std::span<const std::uint32_t> expert_begin;  // [slots + 1]: pairs of LocalExpert e are [begin[e], begin[e+1])
  std::span<const std::uint32_t> row;           // [pairs] index into rows
  std::span<const std::uint32_t> place;         // [pairs] index into outputs
  bf16* outputs = nullptr;                      // [.., hidden], close together: to be filled at place[p] for all p
};

}  // namespace moemill::layers
