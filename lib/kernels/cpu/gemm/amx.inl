// The product with weights by a unit of eight tiles, of 16 rows of 64 bytes each. `Tiles` is the six instructions, or
// an emulation of them: configure, zero, load, store, dot, release and dot_int8 of int8/amx.inl; tests compare the
// two. A row of A is bf16 as it is, and a group of inputs is one instruction: from zero, one chain over the even inputs
// and one over the odd ones, their sum, and C plus that, which is the definition in kernels/gemm.hpp.

constexpr std::size_t tile_rows_of_unit = 16, tile_columns = 16;
constexpr std::size_t block_rows = 2 * tile_rows_of_unit;  // two tiles of rows by two of columns make C
constexpr std::size_t row_bytes = block_inputs * sizeof(bf16) + 64;
constexpr std::size_t line_bytes = 2 * panel_columns * sizeof(bf16);  // one pair over a panel

// Tiles 0 .. 3 are C, 4 and 5 rows, 6 and 7 weights; all are of full size.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Where tiles of C come from and go to: C itself, or a copy where C ends within them.
struct TilesOfC {
  float* data;
  std::size_t stride;  // in values
  std::size_t row_tiles;
};

// One block of C over all groups of its K block. a: its first row; w: [pairs] of the panel.
template <class Tiles>
void tile_block(Tiles& tiles, const GemmBlock& g, const std::byte* a, const std::byte* w, const TilesOfC& c,
                const char* next) {
  const bool two = c.row_tiles == 2;
  const std::size_t c_bytes = c.stride * sizeof(float);
  float* second = c.data + tile_rows_of_unit * c.stride;
  if (g.first) {
    tiles.template zero<0>(), tiles.template zero<1>();
    if (two) tiles.template zero<2>(), tiles.template zero<3>();
  } else {
    tiles.template load<0>(c.data, c_bytes), tiles.template load<1>(c.data + tile_columns, c_bytes);
    if (two) tiles.template load<2>(second, c_bytes), tiles.template load<3>(second + tile_columns, c_bytes);
  }
  for (std::size_t group = 0; group < g.groups; ++group) {
    const std::byte* weights = w + group * group_pairs * line_bytes;
    const std::byte* rows = a + group * group_inputs * sizeof(bf16);
    for (std::size_t line = 0; next && line < group_pairs * line_bytes; line += 64) {
      __builtin_prefetch(next + group * group_pairs * line_bytes + line, 0, 2);
    }
    tiles.template load<6>(weights, line_bytes), tiles.template load<7>(weights + line_bytes / 2, line_bytes);
    tiles.template load<4>(rows, row_bytes);
    tiles.template dot<0, 4, 6>(), tiles.template dot<1, 4, 7>();
    if (!two) continue;
    tiles.template load<5>(rows + tile_rows_of_unit * row_bytes, row_bytes);
    tiles.template dot<2, 5, 6>(), tiles.template dot<3, 5, 7>();
  }
  tiles.template store<0>(c.data, c_bytes), tiles.template store<1>(c.data + tile_columns, c_bytes);
  if (two) tiles.template store<2>(second, c_bytes), tiles.template store<3>(second + tile_columns, c_bytes);
}

// Rows [row, row + rows) of panel p, whose pairs are at w.
template <class Tiles>
void rows_of_panel(Tiles& tiles, const GemmBlock& g, std::size_t p, std::size_t row, std::size_t rows,
                   const std::byte* w, const char* next) {
  const std::size_t columns = p + 1 < g.panels ? panel_columns : g.last_columns;
  const std::size_t row_tiles = rows <= tile_rows_of_unit ? 1 : 2;
  float* c = g.c + row * g.c_stride + p * panel_columns;
  const std::byte* a = g.a + row * row_bytes;
  if (columns == panel_columns && rows == row_tiles * tile_rows_of_unit) {
    return tile_block(tiles, g, a, w, TilesOfC{c, g.c_stride, row_tiles}, next);
  }
  alignas(64) float copy[block_rows * panel_columns] = {};
  for (std::size_t i = 0; !g.first && i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) copy[i * panel_columns + j] = c[i * g.c_stride + j];
  }
  tile_block(tiles, g, a, w, TilesOfC{copy, panel_columns, row_tiles}, next);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) c[i * g.c_stride + j] = copy[i * panel_columns + j];
  }
}

// Codes become a panel of bf16 in scratch.
struct DecodedLines {
  std::byte* out;

  template <class Pair>
  INLINE void pair(const Pair& x) {
    const PairBits columns = bits_of(x);
    store_bits(out, columns.columns[0]), store_bits(out + 64, columns.columns[1]);
    out += line_bytes;
  }
  INLINE void end_half() {}
};

template <class Tiles>
void gemm_block(const GemmBlock& g) {
  static_assert(block_inputs / 2 * line_bytes <= widened_panel_bytes);
  Tiles tiles;
  tiles.configure(TileConfig{});
  for (std::size_t p = 0; p < g.panels; ++p) {
    const std::byte* data = g.w.data + p * g.w.panel_bytes;
    const auto* next = reinterpret_cast<const char*>(p + 1 < g.panels ? data + g.w.panel_bytes : g.next);
    const std::byte* w = data;
    if (g.w.format != Format::Bf16) {
      DecodedLines lines{g.scratch};
      decode_groups(g.w, p, 0, g.groups, next ? next : reinterpret_cast<const char*>(data), lines);
      w = g.scratch;
      next = nullptr;
    }
    for (std::size_t row = 0; row < g.rows; row += block_rows) {
      const std::size_t rows = g.rows - row < block_rows ? g.rows - row : block_rows;
      rows_of_panel(tiles, g, p, row, rows, w, row == 0 ? next : nullptr);
    }
  }
  tiles.release();
}

// A row as it is, filled up with zeros.
template <class T>
void pack_row(const T* in, std::size_t inputs, std::byte* out) {
  auto* to = reinterpret_cast<T*>(out);
  const std::size_t padded = (inputs + group_inputs - 1) / group_inputs * group_inputs;
  for (std::size_t i = 0; i < inputs; ++i) to[i] = in[i];
  for (std::size_t i = inputs; i < padded; ++i) to[i] = T{};
}
