// How a rank's weights lie in the CPU's memory: one behind the other, vectors as they are and every matrix packed for
// gemm. The walk over the tensors asks it for places; carrying out the plan fills them. Private to weights/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/int8.hpp"
#include "kernels/matrix.hpp"
#include "kernels/panel.hpp"
#include "weights/cpu/weights.hpp"
#include "weights/load_plan.hpp"
#include "weights/stored_matrix.hpp"

namespace moemill::model {

// A layout as weights/loader.hpp describes it.
class CpuLayout {
 public:
  using Matrix = cpu::Matrix;
  struct Place {
    MatrixIndex index;
    Matrix matrix;
  };
  static constexpr std::uint32_t columns_step = cpu::panel_columns, int8_inputs = cpu::int8_group;

  // Without memory it only counts.
  explicit CpuLayout(cpu::PairOrder order = cpu::PairOrder::EvenThenOdd) : order_(order) {}
  CpuLayout with_memory(std::byte* memory) const;

  // 64-byte aligned.
  template <class T>
  Vector<T> take(std::uint64_t count) {
    return {reinterpret_cast<T*>(take_bytes(count * sizeof(T))), count};
  }
  Place take(std::uint32_t k, std::uint32_t n) { return take({nullptr, k, n}); }
  // Keeps the stored codes if it can. FP8 needs scales over the same number of inputs in all parts, which is a
  // multiple of 32 or all inputs. The matrix is bf16 if that is not so, or if scales would take more memory than codes
  // save.
  Place take(std::uint32_t k, std::uint32_t n, std::span<const StoredRows> parts);
  Place take_int8(std::uint32_t k, std::uint32_t n) { return take({nullptr, k, n, cpu::Format::Int8}); }

  void put(const RowsPiece& piece, const ReadRows& rows) const;
  void put(const FloatsPiece& piece, const float* values) const;

  std::uint64_t bytes() const;
  // Bytes by format, and how many matrices could not be kept as stored.
  HeldWeights held() const;

 private:
  Place take(Matrix shape);
  std::byte* take_bytes(std::uint64_t bytes);
  void put_codes(const Destination& to, const ReadRows& rows) const;

  cpu::PairOrder order_;
  std::byte* memory_ = nullptr;  // null: it only counts
  std::uint64_t used_ = 0;
  HeldWeights held_;
  struct Held {
    Matrix shape;
    std::byte* memory;
  };
  std::vector<Held> matrices_;  // by MatrixIndex; empty while it only counts
};

}  // namespace moemill::model
