// What the walk over a model's tensors leaves behind: which tensors the model has, and piece by piece which rows of
// them go where in which matrix. A source (files, or random numbers) reads the pieces and a layout puts them into
// memory, in any order, on many threads. Private to weights/.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/numbers/bf16.hpp"

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

// Counts the matrices of a rank in the order of the walk.
using MatrixIndex = std::uint32_t;

// One chunk of a source's rows in one matrix: inputs [first_input, first_input + inputs) of columns
// [first_column, first_column + columns). Element (column first_column + j, input first_input + i) is value
// offset + j * column_stride + i * input_stride of the rows read.
struct Destination {
  MatrixIndex matrix;
  std::uint32_t first_input, inputs;
  std::uint32_t first_column, columns;
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

// The rows of a piece as a source has read them: as bf16, row-major, and where they are stored quantised, also the
// codes.
struct ReadRows {
  const bf16* values;
  const std::byte* codes = nullptr;
  const void* scales = nullptr;  // fp32 of Fp8, bytes of Mxfp4
  // Fp8: the scales are [scale rows, scale_width] from the one of `first_row` on, a row of the stored matrix.
  std::size_t scale_width = 0;
  std::uint64_t first_row = 0, block_rows = 0;
};

struct LoadPlan {
  std::vector<WantedTensor> tensors;
  std::vector<Piece> pieces;
};

}  // namespace moemill::model
