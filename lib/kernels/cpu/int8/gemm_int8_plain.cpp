// The product with int8 weights in plain C++: its definition.
#include "kernels/cpu/bodies.hpp"
#include "kernels/int8.hpp"

namespace moemill::cpu {
namespace {

struct PackedRow {
  std::int8_t codes[block_inputs];
  float scales[int8_block_groups];
};

// S for one column of a group.
int sum_of(const std::int8_t* row, const std::uint8_t* codes, std::size_t inputs) {
  int sum = 0;
  for (std::size_t i = 0; i < inputs; ++i) {
    sum += row[i] * (codes[i / 4 * int8_quad_bytes + i % 4] - int8_bias);
  }
  return sum;
}

void block(const GemmBlock& g) {
  const auto* a = reinterpret_cast<const PackedRow*>(g.a);
  const std::size_t inputs = g.groups * group_inputs;
  for (std::size_t p = 0; p < g.panels; ++p) {
    const std::size_t columns = p + 1 < g.panels ? panel_columns : g.last_columns;
    for (std::size_t first = 0; first < inputs; first += int8_group) {
      const std::byte* group = g.w.data + p * g.w.panel_bytes + first / int8_group * int8_group_bytes;
      const auto* scales = reinterpret_cast<const float*>(group);
      const auto* codes = reinterpret_cast<const std::uint8_t*>(group + int8_scale_bytes);
      const std::size_t count = inputs - first < int8_group ? inputs - first : int8_group;
      for (std::size_t row = 0; row < g.rows; ++row) {
        for (std::size_t j = 0; j < columns; ++j) {
          float& c = g.c[row * g.c_stride + p * panel_columns + j];
          const auto sum = static_cast<float>(sum_of(a[row].codes + first, codes + 4 * j, count));
          const float scale = a[row].scales[first / int8_group] * scales[j];
          c = __builtin_fmaf(sum, scale, g.first && first == 0 ? 0.0f : c);
        }
      }
    }
  }
}

float value(bf16 x) { return to_float(x); }
float value(float x) { return x; }

template <class T>
void pack_row(const T* in, std::size_t inputs, std::byte* out) {
  auto& row = *reinterpret_cast<PackedRow*>(out);
  for (std::int8_t& code : row.codes) code = 0;
  for (std::size_t first = 0; first < inputs; first += int8_group) {
    const std::size_t count = inputs - first < int8_group ? inputs - first : int8_group;
    float values[int8_group];
    for (std::size_t i = 0; i < count; ++i) values[i] = value(in[first + i]);
    row.scales[first / int8_group] = quantize_group(values, count, row.codes + first);
  }
}

}  // namespace

const Int8Gemm plain_int8_gemm = {sizeof(PackedRow), pack_row<bf16>, pack_row<float>, block};

}  // namespace moemill::cpu
