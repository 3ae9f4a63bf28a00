// What the walk over a model's tensors leaves behind: which tensors the model has, and piece by piece which rows of
// them go where. A source (files, or random numbers) then carries the pieces out in any order, on many threads. Private
// to model/.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/bf16.hpp"
#include "kernels/gemm.hpp"

namespace moemill::model {

// What a tensor is for: decides which dtypes it may have, and what random numbers are reasonable.
enum class Content {
  Matrix,         // [rows, columns], or as many behind one another; becomes bf16
  Router,         // likewise; rounding it may change expert picks
  ExactRouter,    // likewise, as three matrices of bf16 that add up to it: rows() gives three times the rows
  Mxfp4,          // matrices whose columns are stored as NAME_blocks [.., columns / 32, 16] and NAME_scales
  Norm,           // this and what follows stays fp32
  Bias,           //
  Gate,           // of the shared expert
  Sinks,          //
  SelectionBias,  //
};

// Whether all ranks read all of it, or each rank its own experts' part.
enum class Holders { AllRanks, RanksOfExperts };

struct WantedTensor {
  std::string name;
  std::vector<std::uint64_t> shape;  // as a file of plain numbers has it
  Content content;
  std::uint64_t inputs;  // of the product it is used in; 0: of none
  Holders holders;
};

// One chunk of a source's rows in one packed matrix. Element (column j, input i) of the part is value
// offset + j * column_stride + i * input_stride of the rows read.
struct Destination {
  bf16* packed;
  std::uint32_t k, n;
  cpu::PackedPart part;
  std::uint64_t offset, column_stride, input_stride;
};

// Rows [first_row, first_row + rows) of a matrix, the matrices of a fused tensor counted as one.
struct RowsPiece {
  std::uint32_t tensor;  // index into LoadPlan::tensors
  std::uint64_t first_row, rows, columns;
  std::array<Destination, 3> packed;
  std::uint32_t packs = 0;  // how many of them
  bf16* table = nullptr;    // or as they are, row-major
  bool is_copy = false;     // of an expert that a rank before this one holds, too
};

// Values first, first + step, ... of a vector, `count` of them.
struct FloatsPiece {
  std::uint32_t tensor;
  std::uint64_t first, step, count;
  float* out;
  bool is_copy = false;
};

using Piece = std::variant<RowsPiece, FloatsPiece>;
inline std::uint32_t tensor_of(const Piece& piece) {
  return std::visit([](const auto& p) { return p.tensor; }, piece);
}

inline bool is_copy(const Piece& piece) {
  return std::visit([](const auto& p) { return p.is_copy; }, piece);
}

struct LoadPlan {
  std::vector<WantedTensor> tensors;
  std::vector<Piece> pieces;
};

}  // namespace moemill::model
