// What the ranks of a node keep in common while they load one copy of the weights: which piece comes next, who is
// through, and the sums of what has been read. It lies in the same memory behind the weights, all zero at the start. A
// rank alone has one as well. Private to weights/.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "system/comm/node_wait.hpp"
#include "weights/load_plan.hpp"
#include "weights/weights_digest.hpp"

namespace moemill::model {

struct LoadBoard {
  // A ByteSum that many threads add to.
  struct Sum {
    std::atomic<std::uint64_t> low, high;
  };

  std::atomic<std::uint64_t> next_block, next_piece;  // to be taken by whoever is free
  std::atomic<std::uint64_t> huge_blocks;
  std::atomic<std::uint64_t> read_bytes;
  std::atomic<std::uint32_t> failed;  // not 0: a rank has failed, the others end early
  NodeWord paged, loaded;             // ranks that have made their blocks, and that have put their pieces
  // Followed by a Sum for each part of the model.

  static std::uint64_t bytes(std::size_t parts) { return sizeof(LoadBoard) + parts * sizeof(Sum); }
  Sum* sums() { return reinterpret_cast<Sum*>(this + 1); }

  void add(ModelPart part, const ByteSum& sum) {
    sums()[part].low.fetch_add(sum.low, std::memory_order_relaxed);
    sums()[part].high.fetch_add(sum.high, std::memory_order_relaxed);
  }
  // Complete once all ranks have loaded.
  ByteSum sum(ModelPart part) { return {sums()[part].low.load(), sums()[part].high.load()}; }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "ranks in different processes add to the same numbers");
static_assert(sizeof(LoadBoard) % alignof(LoadBoard::Sum) == 0, "sums follow the board");

}  // namespace moemill::model
