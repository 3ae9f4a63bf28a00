// The plain C++ bodies: what every kernel computes, without any instruction set beyond the compiler's default.
#include "kernels/cpu/bodies.hpp"

#define INLINE [[gnu::always_inline]] inline

namespace moemill::cpu {
namespace {

#include "kernels/cpu/vector_plain.inl"

#include "kernels/cpu/rows_bodies.inl"

#include "kernels/cpu/attention_lanes_bodies.inl"

#include "kernels/cpu/attention_pages_bodies.inl"

float weight(const bf16* panel, std::size_t k, std::size_t column) {
  bf16 value = panel[(k / 2 * panel_columns + column) * 2 + k % 2];
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}

void gemm_block(const GemmBlock& g) {
  for (std::size_t p = 0; p < g.panels; ++p) {
    const bf16* panel = g.w + p * g.pairs * panel_columns * 2;
    const std::size_t columns = p + 1 < g.panels ? panel_columns : g.last_columns;
    for (std::size_t row = 0; row < g.rows; ++row) {
      for (std::size_t j = 0; j < columns; ++j) {
        float& c = g.c[row * g.c_stride + p * panel_columns + j];
        float sum = g.first ? 0.0f : c;
        for (std::size_t k = 0; k < 2 * g.pairs; ++k) {
          sum = __builtin_fmaf(g.a[row * a_row_stride + k], weight(panel, k, j), sum);
        }
        c = sum;
      }
    }
  }
}

#include "kernels/cpu/bodies_table.inl"

}  // namespace

const Bodies plain_bodies = table;

}  // namespace moemill::cpu
