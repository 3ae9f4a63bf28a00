// What the walk over a model's tensors leaves behind: the list of the tensors, and for each piece which rows of a
// tensor go where in which matrix. A source (files or random numbers) reads the pieces and a layout puts them into
// memory, in any order and on many threads. Private to weights/.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/numbers/bf16.hpp"

namespace moemill::model {

// What a tensor is for. It decides which dtypes the tensor may have, and which random numbers are reasonable.
enum class Content {
  Matrix,       // [rows, columns], or several of these in one tensor; becomes bf16
  Router,       // a Matrix, but rounding it may change expert picks
  ExactRouter,  // becomes three bf16 matrices that add up to it: rows() returns three times the rows
  Mxfp4,        // matrices whose columns are stored as NAME_blocks [.., columns / 32, 16] and NAME_scales
  // Vectors, which become fp32:
  Norm,
  Bias,
  Gate,  // of the shared expert
  Sinks,
  SelectionBias,
};

struct WantedTensor {
  std::string name;
  std::vector<std::uint64_t> shape;  // as a file of unquantised numbers has it
  Content content;
  std::uint64_t inputs;  // of the product in which it is used; 0: it is in no product
};

// What a piece belongs to: 0 is what every rank holds, n + 1 the node's expert number n (weights/node_experts.hpp).
using ModelPart = std::uint32_t;
constexpr ModelPart replicated_part = 0;

// Counts the matrices of a node in the order of the walk.
using MatrixIndex = std::uint32_t;

// Where a part of a piece's values goes: to inputs [first_input, first_input + inputs) of columns
// [first_column, first_column + columns) of a matrix. Element (column first_column + j, input first_input + i) is value
// offset + j * column_stride + i * input_stride of the piece.
struct Destination {
  MatrixIndex matrix;
  std::uint32_t first_input, inputs;
  std::uint32_t first_column, columns;
  std::uint64_t offset, column_stride, input_stride;
};

// Rows [first_row, first_row + rows) of a matrix. The matrices of a fused tensor count as one matrix.
struct RowsPiece {
  std::uint32_t tensor;  // index into LoadPlan::tensors
  std::uint64_t first_row, rows, columns;
  std::array<Destination, 3> destinations;
  std::uint32_t destination_count = 0;
  bf16* table = nullptr;  // the rows also go here unchanged, row-major; null: they do not
  ModelPart part = replicated_part;
};

// Values first, first + step, ... of a vector, `count` of them.
struct FloatsPiece {
  std::uint32_t tensor;
  std::uint64_t first, step, count;
  float* out;  // [count]
  ModelPart part = replicated_part;
};

using Piece = std::variant<RowsPiece, FloatsPiece>;

inline std::uint32_t tensor_of(const Piece& piece) {
  return std::visit([](const auto& p) { return p.tensor; }, piece);
}
inline ModelPart part_of(const Piece& piece) {
  return std::visit([](const auto& p) { return p.part; }, piece);
}

// A piece's rows as a source has read them: in bf16, row-major, and where they are stored in codes, these too.
struct ReadRows {
  const bf16* values;
  const std::byte* codes = nullptr;
  const void* scales = nullptr;  // fp32 for Fp8, bytes for Mxfp4
  // Fp8: scales is [scale rows, scale_width] and begins with the scales of `first_row`, a row of the stored matrix.
  std::size_t scale_width = 0;
  std::uint64_t first_row = 0, block_rows = 0;
};

struct LoadPlan {
  std::vector<WantedTensor> tensors;
  std::vector<Piece> pieces;
};

}  // namespace moemill::model
