// The plain C++ bodies: what every kernel computes, without any instruction set beyond the compiler's default.
#include "base/numbers/small_floats.hpp"
#include "kernels/cpu/bodies.hpp"

#define INLINE [[gnu::always_inline]] inline

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_plain.inl"

#include "kernels/cpu/rows_bodies.inl"

#include "kernels/cpu/attention_lanes_bodies.inl"

#include "kernels/cpu/attention_pages_bodies.inl"

float weight(const GemmPanels& w, std::size_t panel, std::size_t k, std::size_t column) {
  const std::byte* data = w.data + panel * w.panel_bytes;
  if (w.format == Format::Bf16) {
    return to_float(reinterpret_cast<const bf16*>(data)[(k / 2 * panel_columns + column) * 2 + k % 2]);
  }
  const std::size_t in_line = code_position(column, k % 2), line = w.format == Format::Fp8 ? k / 2 : k / 4;
  const auto code = static_cast<std::uint8_t>(data[line * code_line_bytes + in_line]);
  const std::size_t scale =
      (w.first_input + k) / w.scale_inputs * w.scale_columns + (w.scale_columns == 1 ? 0 : column);
  const std::byte* scales = w.scales + panel * w.panel_scale_bytes;
  if (w.format == Format::Fp8) return to_float(fp8_weight(code, reinterpret_cast<const float*>(scales)[scale]));
  return to_float(mxfp4_weight(k % 4 < 2 ? code & 15u : code >> 4, static_cast<std::uint8_t>(scales[scale])));
}

void gemm_block(const GemmBlock& g) {
  for (std::size_t p = 0; p < g.panels; ++p) {
    const std::size_t columns = p + 1 < g.panels ? panel_columns : g.last_columns;
    for (std::size_t k = 0; k < 2 * g.pairs; ++k) {
      for (std::size_t j = 0; j < columns; ++j) {
        const float w = weight(g.w, p, k, j);
        for (std::size_t row = 0; row < g.rows; ++row) {
          float& c = g.c[row * g.c_stride + p * panel_columns + j];
          c = __builtin_fmaf(g.a[row * a_row_stride + k], w, g.first && k == 0 ? 0.0f : c);
        }
      }
    }
  }
}

#include "kernels/cpu/bodies_table.inl"

}  // namespace

const Bodies plain_bodies = table;

}  // namespace moemill::cpu
