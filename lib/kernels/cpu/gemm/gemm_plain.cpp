// The product with weights in plain C++: its definition. A row of A is fp32 in the order of the sums, first the even
// inputs of a group, then the odd ones.
#include "base/numbers/small_floats.hpp"
#include "kernels/cpu/bodies.hpp"

namespace moemill::cpu {
namespace {

constexpr std::size_t row_values = block_inputs + 16;

// The weight of an input, counted from the K block's first, in column `column` of a panel.
float weight(const GemmPanels& w, std::size_t panel, std::size_t input, std::size_t column) {
  const std::byte* data = w.data + panel * w.panel_bytes;
  const PairPlace place = place_in_group(w.order, input % group_inputs);
  const std::size_t pair = input / group_inputs * group_pairs + place.pair;
  if (w.format == Format::Bf16) {
    return to_float(reinterpret_cast<const bf16*>(data)[(pair * panel_columns + column) * 2 + place.upper]);
  }
  const std::size_t in_line = code_position(column, place.upper), line = w.format == Format::Fp8 ? pair : pair / 2;
  const auto code = static_cast<std::uint8_t>(data[line * code_line_bytes + in_line]);
  const std::size_t scale =
      (w.first_input + input) / w.scale_inputs * w.scale_columns + (w.scale_columns == 1 ? 0 : column);
  const std::byte* scales = w.scales + panel * w.panel_scale_bytes;
  if (w.format == Format::Fp8) return to_float(fp8_weight(code, reinterpret_cast<const float*>(scales)[scale]));
  return to_float(mxfp4_weight(pair % 2 == 0 ? code & 15u : code >> 4, static_cast<std::uint8_t>(scales[scale])));
}

float chain(const float* a, const float* w) {
  float sum = 0.0f;
  for (std::size_t i = 0; i < group_inputs / 2; ++i) sum = __builtin_fmaf(a[i], w[i], sum);
  return sum;
}

void block(const GemmBlock& g) {
  const auto* a = reinterpret_cast<const float*>(g.a);
  for (std::size_t p = 0; p < g.panels; ++p) {
    const std::size_t columns = p + 1 < g.panels ? panel_columns : g.last_columns;
    for (std::size_t first = 0; first < g.groups * group_inputs; first += group_inputs) {
      for (std::size_t j = 0; j < columns; ++j) {
        float w[group_inputs];
        for (std::size_t i = 0; i < group_inputs; ++i) {
          w[i % 2 * group_inputs / 2 + i / 2] = weight(g.w, p, first + i, j);
        }
        for (std::size_t row = 0; row < g.rows; ++row) {
          float& c = g.c[row * g.c_stride + p * panel_columns + j];
          const float* x = a + row * row_values + first;
          const float even = chain(x, w), odd = chain(x + group_inputs / 2, w + group_inputs / 2);
          c = (g.first && first == 0 ? 0.0f : c) + (even + odd);
        }
      }
    }
  }
}

float value(bf16 x) { return to_float(x); }
float value(float x) { return x; }

template <class T>
void pack_row(const T* in, std::size_t inputs, std::byte* out) {
  auto* to = reinterpret_cast<float*>(out);
  for (std::size_t first = 0; first < inputs; first += group_inputs) {
    for (std::size_t i = 0; i < group_inputs; ++i) {
      to[first + i % 2 * group_inputs / 2 + i / 2] = first + i < inputs ? value(in[first + i]) : 0.0f;
    }
  }
}

}  // namespace

const ExactGemm plain_exact_gemm = {row_values * sizeof(float), pack_row<float>, block};
const GemmBody plain_gemm = {PairOrder::EvenThenOdd, row_values * sizeof(float), pack_row<bf16>, block,
                             &plain_exact_gemm};

}  // namespace moemill::cpu
