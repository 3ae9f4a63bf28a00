// The rows that this rank computes in a layer, its own and those of the other ranks, and where the results go. Made by
// a backend's exchange, worked through by its experts. A pair is one (row, expert); pairs are listed by the expert's
// slot, so that all ranks' rows for an expert meet in one product.
#pragma once

#include <cstdint>

#include "base/numbers/bf16.hpp"
#include "base/rows.hpp"

namespace moemill::layers {

template <class Space = Host>
struct ReceivedRows {
  Rows<const bf16, Space> rows;                     // [rows, hidden]
  Vector<const std::uint32_t, Space> expert_begin;  // [slots + 1]: pairs of LocalExpert e are [begin[e], begin[e+1])
  Vector<const std::uint32_t, Space> row;           // [pairs] index into rows
  Vector<const std::uint32_t, Space> place;         // [pairs] index into outputs
  Rows<bf16, Space> outputs;                        // [.., hidden]: to be filled at place[p] for all p
};

}  // namespace moemill::layers
