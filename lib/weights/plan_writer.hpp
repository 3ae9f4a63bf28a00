// Writes a load plan for the walk over a model's tensors: cuts tensors into pieces and says where their values go. The
// cut is the same for every rank and placement of a run, because the weights' digest is a sum over pieces; only the
// arithmetic, which is part of a run, may change it. Private to weights/.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "weights/load_plan.hpp"

namespace moemill::model {

// Layouts rely on how pieces are cut. Except for the last one of a tensor, a piece of outputs holds a multiple of
// piece_columns columns, and a piece of inputs a multiple of the step that its caller names.
constexpr std::uint32_t piece_columns = 32;

// Columns [first, first + count) of a matrix that has that many inputs.
struct Columns {
  MatrixIndex matrix;
  std::uint32_t inputs;
  std::uint32_t first, count;
};

class PlanWriter {
 public:
  // Either list may be null; then it is not written.
  PlanWriter(std::vector<WantedTensor>* tensors, std::vector<Piece>* pieces) : tensors_(tensors), pieces_(pieces) {}

  // Returns the tensor's index.
  std::uint32_t want(std::string name, std::vector<std::uint64_t> shape, Content content, std::uint64_t inputs);

  // Rows that are outputs, from first_row on. They go to `to` in turn (gate and up may alternate).
  void outputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to);
  // Rows that are inputs, from first_row on, in pieces of multiples of `step`. Their values are outputs, which go to
  // `to` in turn.
  void inputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to, std::uint32_t step);
  // An ExactRouter, whose rows are outputs: its three parts.
  void exact_outputs(std::uint32_t tensor, const std::array<Columns, 3>& to);
  // All rows unchanged, row-major. out: [rows, width]
  void table(std::uint32_t tensor, std::uint64_t rows, std::uint64_t width, bf16* out);
  // Values first, first + step, ... of a vector. out: [count]
  void floats(std::uint32_t tensor, std::uint64_t first, std::uint64_t step, std::uint64_t count, float* out);
  // Rows whose destinations the caller knows.
  void rows(RowsPiece piece);

  // What the pieces that follow belong to.
  void set_part(ModelPart part) { part_ = part; }

 private:
  std::vector<WantedTensor>* tensors_;
  std::vector<Piece>* pieces_;
  ModelPart part_ = replicated_part;
};

}  // namespace moemill::model
