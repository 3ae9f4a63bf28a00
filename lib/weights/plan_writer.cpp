#include "weights/plan_writer.hpp"

#include <algorithm>

namespace moemill::model {

namespace {

// Values per piece: 1 MB of bf16, which stays in a core's caches between reading, decoding and packing. Whoever changes
// this number, or how pieces are cut, changes the weights' digests (job/run_setup.hpp: weights_fingerprint).
constexpr std::uint64_t piece_values = 1u << 19;

// Calls visit(first, count) for [0, rows) in chunks of whole `grain`s.
template <class Visit>
void chunks(std::uint64_t rows, std::uint64_t columns, std::uint64_t grain, Visit visit) {
  const std::uint64_t chunk = std::max(grain, piece_values / columns / grain * grain);
  for (std::uint64_t first = 0; first < rows; first += chunk) visit(first, std::min(chunk, rows - first));
}

std::uint32_t narrow(std::uint64_t x) { return static_cast<std::uint32_t>(x); }

void add(RowsPiece& piece, const Destination& to) { piece.destinations[piece.destination_count++] = to; }

}  // namespace

std::uint32_t PlanWriter::want(std::string name, std::vector<std::uint64_t> shape, Content content,
                               std::uint64_t inputs) {
  if (tensors_ == nullptr) return 0;
  tensors_->push_back({std::move(name), std::move(shape), content, inputs});
  return narrow(tensors_->size() - 1);
}

void PlanWriter::outputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to) {
  if (pieces_ == nullptr) return;
  const std::uint64_t ways = to.size(), width = to.begin()->inputs;
  chunks(to.begin()->count, ways * width, piece_columns, [&](std::uint64_t first, std::uint64_t count) {
    RowsPiece piece{tensor, first_row + first * ways, count * ways, width, {}};
    for (const Columns& c : to) {
      const std::uint64_t offset = piece.destination_count * width;
      add(piece, {c.matrix, 0, c.inputs, c.first + narrow(first), narrow(count), offset, ways * width, 1});
    }
    rows(piece);
  });
}

void PlanWriter::inputs(std::uint32_t tensor, std::uint64_t first_row, std::initializer_list<Columns> to,
                        std::uint32_t step) {
  if (pieces_ == nullptr) return;
  const std::uint64_t ways = to.size(), width = ways * to.begin()->count;
  chunks(to.begin()->inputs, width, step, [&](std::uint64_t first, std::uint64_t count) {
    RowsPiece piece{tensor, first_row + first, count, width, {}};
    for (const Columns& c : to) {
      const std::uint64_t offset = piece.destination_count;
      add(piece, {c.matrix, narrow(first), narrow(count), c.first, c.count, offset, ways, width});
    }
    rows(piece);
  });
}

void PlanWriter::exact_outputs(std::uint32_t tensor, const std::array<Columns, 3>& to) {
  if (pieces_ == nullptr) return;
  const std::uint64_t width = to[0].inputs;
  chunks(to[0].count, to.size() * width, piece_columns, [&](std::uint64_t first, std::uint64_t count) {
    RowsPiece piece{tensor, first, count, width, {}};
    for (const Columns& c : to) {
      const std::uint64_t offset = piece.destination_count * count * width;
      add(piece, {c.matrix, 0, c.inputs, narrow(first), narrow(count), offset, width, 1});
    }
    rows(piece);
  });
}

void PlanWriter::table(std::uint32_t tensor, std::uint64_t row_count, std::uint64_t width, bf16* out) {
  if (pieces_ == nullptr) return;
  chunks(row_count, width, 1, [&](std::uint64_t first, std::uint64_t count) {
    rows({tensor, first, count, width, {}, 0, out + first * width});
  });
}

void PlanWriter::floats(std::uint32_t tensor, std::uint64_t first, std::uint64_t step, std::uint64_t count,
                        float* out) {
  if (pieces_ != nullptr) pieces_->emplace_back(FloatsPiece{tensor, first, step, count, out, part_});
}

void PlanWriter::rows(RowsPiece piece) {
  if (pieces_ == nullptr) return;
  piece.part = part_;
  pieces_->emplace_back(piece);
}

}  // namespace moemill::model
