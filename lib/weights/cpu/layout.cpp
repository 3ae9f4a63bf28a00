#include "weights/cpu/layout.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "base/numbers/small_floats.hpp"
#include "weights/plan_writer.hpp"

namespace moemill::model {

namespace {

constexpr std::uint64_t panel = cpu::panel_columns;
static_assert(piece_columns % panel == 0, "every piece begins at a panel");

// Whether one scale is common to all columns of each panel that these rows fill.
bool has_panel_scales(const StoredRows& rows) {
  const std::uint64_t first = rows.first_row % rows.stored.group_rows, block = rows.stored.block_rows;
  return (block % panel == 0 && first % panel == 0) || first / block == (first + rows.rows - 1) / block;
}

cpu::Matrix fp8_shape(std::uint32_t k, std::uint32_t n, std::span<const StoredRows> parts) {
  const std::uint32_t inputs = parts[0].stored.block_columns;
  const bool panel_scales = std::all_of(parts.begin(), parts.end(), has_panel_scales);
  const std::uint32_t scale_columns = panel_scales ? 1 : static_cast<std::uint32_t>(panel);
  return {nullptr, k, n, cpu::Format::Fp8, std::min(inputs, k), scale_columns};
}

cpu::Matrix kept_shape(std::uint32_t k, std::uint32_t n, std::span<const StoredRows> parts) {
  const cpu::Matrix plain{nullptr, k, n};
  const StoredMatrix& first = parts[0].stored;
  const bool alike = std::all_of(parts.begin(), parts.end(), [&](const StoredRows& part) {
    return part.stored.format == first.format && part.stored.block_columns == first.block_columns;
  });
  if (!alike || first.format == WeightFormat::Plain) return plain;
  if (first.format == WeightFormat::Mxfp4) return {nullptr, k, n, cpu::Format::Mxfp4};
  if (first.block_columns % 32 != 0 && first.block_columns < k) return plain;
  const cpu::Matrix kept = fp8_shape(k, n, parts);
  return cpu::packed_bytes(kept) < cpu::packed_bytes(plain) ? kept : plain;
}

}  // namespace

CpuLayout CpuLayout::with_memory(std::byte* memory) const {
  CpuLayout out(order_);
  out.memory_ = memory;
  return out;
}

// Kernels may load whole vectors past the last value.
std::uint64_t CpuLayout::bytes() const { return used_ + 256; }

HeldWeights CpuLayout::held() const {
  HeldWeights out = held_;
  out.bf16_bytes = bytes() - out.fp8_bytes - out.mxfp4_bytes - out.int8_bytes;  // including vectors
  return out;
}

CpuLayout::Place CpuLayout::take(std::uint32_t k, std::uint32_t n, std::span<const StoredRows> parts) {
  const cpu::Matrix shape = kept_shape(k, n, parts);
  const bool stored = std::any_of(parts.begin(), parts.end(),
                                  [](const StoredRows& part) { return part.stored.format != WeightFormat::Plain; });
  held_.widened_matrices += stored && shape.format == cpu::Format::Bf16;
  return take(shape);
}

std::byte* CpuLayout::take_bytes(std::uint64_t bytes) {
  const std::uint64_t at = used_;
  used_ += round_up(bytes, std::uint64_t{64});
  return memory_ == nullptr ? nullptr : memory_ + at;
}

CpuLayout::Place CpuLayout::take(cpu::Matrix shape) {
  shape.order = order_;
  const std::uint64_t bytes = cpu::packed_bytes(shape);
  if (shape.format == cpu::Format::Fp8) held_.fp8_bytes += bytes;
  if (shape.format == cpu::Format::Mxfp4) held_.mxfp4_bytes += bytes;
  if (shape.format == cpu::Format::Int8) held_.int8_bytes += bytes;
  Place place{static_cast<MatrixIndex>(matrices_.size()), shape};
  std::byte* memory = take_bytes(bytes);
  if (memory_ != nullptr) matrices_.push_back({shape, memory});
  place.matrix.data = memory;
  return place;
}

void CpuLayout::put(const RowsPiece& piece, const ReadRows& rows) const {
  if (piece.table != nullptr) std::copy_n(rows.values, piece.rows * piece.columns, piece.table);
  for (std::uint32_t i = 0; i < piece.destination_count; ++i) {
    const Destination& to = piece.destinations[i];
    const auto& [w, memory] = matrices_[to.matrix];
    const cpu::PackedPart part{to.first_input, to.inputs, to.first_column, to.columns};
    const bf16* values = rows.values + to.offset;
    if (w.format == cpu::Format::Bf16) {
      cpu::pack(reinterpret_cast<bf16*>(memory), w, part, values, to.column_stride, to.input_stride);
    } else if (w.format == cpu::Format::Int8) {
      cpu::pack_int8(memory, w, part, values, to.column_stride, to.input_stride);
    } else {
      put_codes(to, rows);
    }
  }
}

void CpuLayout::put(const FloatsPiece& piece, const float* values) const {
  for (std::uint64_t i = 0; i < piece.count; ++i) piece.out[i] = values[i * piece.step];
}

void CpuLayout::put_codes(const Destination& to, const ReadRows& rows) const {
  const auto& [w, memory] = matrices_[to.matrix];
  expect(to.input_stride == 1 && to.inputs == w.k, "layout: codes are packed by whole columns");
  if (w.format == cpu::Format::Mxfp4) {
    const auto* scales = static_cast<const std::byte*>(rows.scales) + to.offset / mxfp4_block;
    const std::byte* blocks = rows.codes + to.offset / mxfp4_block * mxfp4_block_bytes;
    cpu::pack(memory, w, cpu::Mxfp4Columns{to.first_column, to.columns, blocks, scales, to.column_stride / w.k});
    return;
  }
  expect(to.offset == 0 && to.column_stride == w.k, "layout: FP8 rows follow one another");
  cpu::pack(memory, w,
            cpu::Fp8Columns{to.first_column, to.columns, rows.codes, static_cast<const float*>(rows.scales),
                            rows.scale_width, rows.first_row, rows.block_rows});
}

}  // namespace moemill::model
