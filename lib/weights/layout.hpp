// How a rank's weights lie in the CPU's memory: vectors as they are and every matrix packed for gemm, one behind the
// other. The loader's walk asks it for places; carrying out the plan fills them. A different backend has a layout of
// its own. Private to weights/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/config.hpp"
#include "weights/load_plan.hpp"
#include "weights/weights.hpp"

namespace moemill::model {

// Rows [first_row, first_row + rows) of a stored matrix, which are columns of a packed one.
struct StoredRows {
  StoredMatrix stored;
  std::uint64_t first_row, rows;
};

class CpuLayout {
 public:
  struct Place {
    MatrixIndex index;
    cpu::Matrix matrix;
  };

  // Without memory it only counts. Memory is zeroed.
  explicit CpuLayout(std::byte* memory) : memory_(memory) {}

  bool counts_only() const { return memory_ == nullptr; }
  // 64-byte aligned. Null while it only counts.
  template <class T>
  T* take(std::uint64_t count) {
    return reinterpret_cast<T*>(take_bytes(count * sizeof(T)));
  }
  // A matrix [k, n] in bf16.
  Place take(std::uint32_t k, std::uint32_t n) { return take({nullptr, k, n}); }
  // A matrix whose columns are the parts' rows, in the codes in which the files store them. In FP8 all parts need
  // scales over the same, even number of inputs; where they have different ones, or where scales would take more memory
  // than codes save, the matrix is bf16.
  Place take(std::uint32_t k, std::uint32_t n, std::span<const StoredRows> parts);
  // Kernels may load whole vectors past the last value.
  std::uint64_t bytes() const { return used_ + 256; }
  // Bytes by format, and matrices that could not be kept as stored.
  HeldWeights held() const;

  // Packs rows that a source has read. Any number of threads at a time, for different pieces.
  void put(const RowsPiece& piece, const ReadRows& rows) const;

 private:
  Place take(const cpu::Matrix& shape);
  std::byte* take_bytes(std::uint64_t bytes);
  void put_codes(const Destination& to, const ReadRows& rows) const;

  std::byte* memory_;
  std::uint64_t used_ = 0;
  HeldWeights held_;
  struct Held {
    cpu::Matrix shape;
    std::byte* memory;
  };
  std::vector<Held> matrices_;  // by MatrixIndex; none while it only counts
};

}  // namespace moemill::model
