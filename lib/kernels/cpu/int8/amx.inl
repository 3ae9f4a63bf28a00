// The product with int8 weights by a unit of eight tiles (gemm/amx.inl), over the lanes F and U. A row of A is bytes as
// they are, and 64 inputs are one instruction, rows with a sign and weights without.

constexpr std::size_t row_words = 1;  // of four inputs of a row

// Sixteen codes, one in each lane.
INLINE void store_codes(U codes, std::uint32_t* out) { store_signed_bytes(out, codes); }

#include "kernels/cpu/int8/rows.inl"

// Sums of one group of inputs, and the tile of C between groups.
struct alignas(64) Int8Sums {
  std::uint32_t group[block_rows][panel_columns];
  float c[block_rows][panel_columns];
};
static_assert(sizeof(Int8Sums) <= gemm_scratch_bytes);

// Rows of one group times its codes in a panel: block_rows of them, or only half of that.
template <class Tiles>
void int8_group_sums(Tiles& tiles, const std::byte* rows, const std::byte* weights, std::size_t inputs,
                     std::size_t row_tiles, Int8Sums& sums) {
  constexpr std::size_t a_bytes = sizeof(Int8PackedRow), sum_bytes = sizeof sums.group[0];
  const bool two = row_tiles == 2;
  tiles.template zero<0>(), tiles.template zero<1>();
  if (two) tiles.template zero<2>(), tiles.template zero<3>();
  for (std::size_t input = 0; input < inputs; input += int8_step) {
    const std::byte* w = weights + input / 4 * int8_quad_bytes;
    const std::byte* a = rows + input;
    tiles.template load<6>(w, int8_quad_bytes), tiles.template load<7>(w + int8_quad_bytes / 2, int8_quad_bytes);
    tiles.template load<4>(a, a_bytes);
    tiles.template dot_int8<0, 4, 6>(), tiles.template dot_int8<1, 4, 7>();
    if (!two) continue;
    tiles.template load<5>(a + tile_rows_of_unit * a_bytes, a_bytes);
    tiles.template dot_int8<2, 5, 6>(), tiles.template dot_int8<3, 5, 7>();
  }
  tiles.template store<0>(sums.group[0], sum_bytes), tiles.template store<1>(sums.group[0] + tile_columns, sum_bytes);
  if (!two) return;
  std::uint32_t* second = sums.group[tile_rows_of_unit];
  tiles.template store<2>(second, sum_bytes), tiles.template store<3>(second + tile_columns, sum_bytes);
}

// Adds the sums of a group to the rows' part of C.
void int8_add_group(Int8Sums& sums, const Int8PackedRow* a, std::size_t rows, std::size_t group, const float* scales) {
  const F scale[2] = {load(scales), load(scales + 16)};
  for (std::size_t i = 0; i < rows; ++i) {
    const U start = splat(static_cast<std::uint32_t>(a[i].starts[group]));
    const F row_scale = splat(a[i].scales[group]);
    for (std::size_t v = 0; v < 2; ++v) {
      float* c = sums.c[i] + 16 * v;
      store(c, fma(to_floats(load(sums.group[i] + 16 * v) + start), row_scale * scale[v], load(c)));
    }
  }
}

// Rows [row, row + rows) of panel p.
template <class Tiles>
void int8_rows_of_panel(Tiles& tiles, const GemmBlock& g, std::size_t p, std::size_t row, std::size_t rows,
                        const char* next) {
  auto& sums = *reinterpret_cast<Int8Sums*>(g.scratch);
  const std::size_t columns = p + 1 < g.panels ? panel_columns : g.last_columns;
  const auto* a = reinterpret_cast<const Int8PackedRow*>(g.a) + row;
  float* c = g.c + row * g.c_stride + p * panel_columns;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < panel_columns; ++j) {
      sums.c[i][j] = !g.first && j < columns ? c[i * g.c_stride + j] : 0.0f;
    }
  }
  const std::size_t inputs = g.groups * group_inputs;
  for (std::size_t input = 0; input < inputs; input += int8_group) {
    const std::size_t group = input / int8_group, count = inputs - input < int8_group ? inputs - input : int8_group;
    const std::byte* w = g.w.data + p * g.w.panel_bytes + group * int8_group_bytes;
    for (std::size_t line = 0; next && line < int8_group_bytes; line += 64) {
      __builtin_prefetch(next + group * int8_group_bytes + line, 0, 2);
    }
    int8_group_sums(tiles, reinterpret_cast<const std::byte*>(a->codes) + input, w + int8_scale_bytes, count,
                    rows <= tile_rows_of_unit ? 1 : 2, sums);
    int8_add_group(sums, a, rows, group, reinterpret_cast<const float*>(w));
  }
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) c[i * g.c_stride + j] = sums.c[i][j];
  }
}

template <class Tiles>
void int8_block(const GemmBlock& g) {
  Tiles tiles;
  tiles.configure(TileConfig{});
  for (std::size_t p = 0; p < g.panels; ++p) {
    const std::byte* after = p + 1 < g.panels ? g.w.data + (p + 1) * g.w.panel_bytes : g.next;
    for (std::size_t row = 0; row < g.rows; row += block_rows) {
      const std::size_t rows = g.rows - row < block_rows ? g.rows - row : block_rows;
      int8_rows_of_panel(tiles, g, p, row, rows, row == 0 ? reinterpret_cast<const char*>(after) : nullptr);
    }
  }
  tiles.release();
}
