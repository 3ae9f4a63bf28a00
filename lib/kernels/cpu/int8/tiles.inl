// The product with int8 weights for vector instruction sets, over the sixteen lanes F and U, and over what the
// including file says of its dot products: int8_rows and int8_vectors of a register tile, and int8/dot.inl's or
// int8/madd.inl's row_words, Int8Weights, Int8Row, int8_weights, int8_row, add_products and store_codes.

#include "kernels/cpu/int8/rows.inl"

#include "kernels/cpu/panels.inl"

struct Int8Tile {
  const Int8PackedRow* a;
  const std::byte* w;       // first panel, at the tile's first column
  std::size_t panel_bytes;  // from one panel to the next
  std::size_t inputs;
  float* c;
  std::size_t c_stride;
  bool first;
  const char* next;  // lines to prefetch every four inputs, advancing by next_step
  std::size_t next_step;
  float* sums;  // sums_bytes of scratch
};

// The lines that a tile reads of four inputs: two vectors a panel.
INLINE const std::byte* line_of(const std::byte* w, std::size_t panel_bytes, int vector) {
  return w + static_cast<std::size_t>(vector / 2) * panel_bytes + vector % 2 * 64;
}

// Four inputs: the fewer of rows and weights stay in registers.
template <int Rows, int Vectors>
INLINE void add_quad(const std::uint32_t* a, const std::byte* w, std::size_t panel_bytes,
                     Int8Sum (&sum)[Rows][Vectors]) {
  constexpr std::size_t row_stride = sizeof(Int8PackedRow) / sizeof *a;
  if constexpr (Rows < Vectors) {
    Int8Row row[Rows];
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) row[i] = int8_row(a + static_cast<std::size_t>(i) * row_stride);
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      const Int8Weights x = int8_weights(line_of(w, panel_bytes, v));
#pragma GCC unroll 8
      for (int i = 0; i < Rows; ++i) sum[i][v] = add_products(x, row[i], sum[i][v]);
    }
  } else {
    Int8Weights x[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) x[v] = int8_weights(line_of(w, panel_bytes, v));
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Int8Row row = int8_row(a + static_cast<std::size_t>(i) * row_stride);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[i][v] = add_products(x[v], row, sum[i][v]);
    }
  }
}

// Rows of C, or of its copy in scratch.
template <class Value>
struct Int8Place {
  Value* data;
  std::size_t stride;
};

// C = fma(sums, row's scale * columns' scales, C), from one place to another.
template <int Rows, int Vectors>
INLINE void end_group(const Int8Tile& t, std::size_t group, const std::byte* scales,
                      const Int8Sum (&sum)[Rows][Vectors], Int8Place<const float> from, Int8Place<float> to) {
  F scale[Vectors];
#pragma GCC unroll 8
  for (int v = 0; v < Vectors; ++v) {
    scale[v] = load(reinterpret_cast<const float*>(line_of(scales, t.panel_bytes, v)));
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    const F row_scale = splat(t.a[i].scales[group]);
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      const F c = load(from.data + 16 * v);
      store(to.data + 16 * v, fma(to_floats(lanes_of(sum[i][v])), row_scale * scale[v], c));
    }
    from.data += from.stride, to.data += to.stride;
  }
}

template <int Vectors>
INLINE void prefetch(const char* next) {
#pragma GCC unroll 8
  for (int line = 0; line < (Vectors > 2 ? Vectors : 2); ++line) __builtin_prefetch(next + 64 * line, 0, 2);
}

// Rows x (16 * Vectors) of C over one K block. A group adds up in registers. C itself is read before the first group
// and written after the last one; in between it waits in L1, since rows of C may share a cache set.
template <int Rows, int Vectors>
void int8_tile(const Int8Tile& t) {
  static_assert(Rows * Vectors * 16 * sizeof(float) <= sums_bytes);
  alignas(64) static constexpr float zeros[16 * Vectors] = {};
  const std::byte* w = t.w;
  const char* next = t.next;
  const std::size_t panel_bytes = t.panel_bytes, next_step = t.next_step;
  const Int8Place<float> c = {t.c, t.c_stride}, copy = {t.sums, 16 * Vectors};
  Int8Place<const float> from = {t.c, t.c_stride};
  if (t.first) from = {zeros, 0};
  for (std::size_t input = 0; input < t.inputs; input += int8_group) {
    const std::size_t group = input / int8_group, left = t.inputs - input;
    const std::uint32_t* a = t.a->codes + input / 4 * row_words;
    const std::byte* scales = w;
    w += int8_scale_bytes;
    prefetch<Vectors>(next);
    next += next_step;
    Int8Sum sum[Rows][Vectors];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[i][v] = sum_from(t.a[i].starts[group]);
    }
#pragma GCC unroll 1
    for (std::size_t quads = (left < int8_group ? left : int8_group) / 4; quads > 0; --quads) {
      prefetch<Vectors>(next);
      next += next_step;
      add_quad<Rows, Vectors>(a, w, panel_bytes, sum);
      a += row_words;
      w += int8_quad_bytes;
    }
    end_group<Rows, Vectors>(t, group, scales, sum, from, left <= int8_group ? c : copy);
    from = {copy.data, copy.stride};
  }
}

using Int8TileOf = void (*)(const Int8Tile&);

template <int... Less>
struct Int8Table {
  static constexpr Int8TileOf of_rows[] = {int8_tile<Less + 1, int8_vectors>...};
};
template <int Count, int... Less>
struct MakeInt8Table : MakeInt8Table<Count - 1, Count - 1, Less...> {};
template <int... Less>
struct MakeInt8Table<0, Less...> : Int8Table<Less...> {};
using Int8Tiles = MakeInt8Table<int8_rows>;

const Int8PackedRow* int8_row_of(const GemmBlock& g, std::size_t row) {
  return reinterpret_cast<const Int8PackedRow*>(g.a) + row;
}

// All row tiles of one panel. Each prefetches its share of what comes next.
void int8_panel_rows(const GemmBlock& g, std::size_t p, float* c, std::size_t c_stride) {
  const std::byte* data = g.w.data + p * g.w.panel_bytes;
  const char* next = reinterpret_cast<const char*>(data_after(g, p, 1));
  constexpr std::size_t column_steps = panel_columns / (16 * int8_vectors);
  const std::size_t tiles = (g.rows + int8_rows - 1) / int8_rows * column_steps;
  const std::size_t step = (int8_quad_bytes + tiles - 1) / tiles;
  for (std::size_t s = 0; s < column_steps; ++s) {
    balanced_tiles<int8_rows>(g.rows, [&](std::size_t row, std::size_t rows) {
      Int8Tiles::of_rows[rows - 1]({int8_row_of(g, row), data + s * 64, 0, g.groups * group_inputs,
                                    c + row * c_stride + s * 16, c_stride, g.first, next, step,
                                    reinterpret_cast<float*>(g.scratch)});
      next += g.w.panel_bytes / tiles;
    });
  }
}

void int8_narrow_panel(const GemmBlock& g, std::size_t p) {
  through_temporary<int8_rows>(
      g, sizeof(Int8PackedRow), g.c + p * panel_columns,
      [&](const GemmBlock& part, float* temporary) { int8_panel_rows(part, p, temporary, panel_columns); });
}

// Few rows have too few sums to hide a dot product's latency, so they take several panels side by side. Returns the
// panels done.
template <int Rows, int Panels>
std::size_t int8_wide_panels(const GemmBlock& g, std::size_t full_panels) {
  std::size_t p = 0;
  for (; p + Panels <= full_panels; p += Panels) {
    const char* next = reinterpret_cast<const char*>(data_after(g, p, Panels));
    int8_tile<Rows, 2 * Panels>({int8_row_of(g, 0), g.w.data + p * g.w.panel_bytes, g.w.panel_bytes,
                                 g.groups * group_inputs, g.c + p * panel_columns, g.c_stride, g.first, next,
                                 int8_quad_bytes * Panels, reinterpret_cast<float*>(g.scratch)});
  }
  return p;
}

void int8_block(const GemmBlock& g) {
  const std::size_t full_panels = g.last_columns == panel_columns ? g.panels : g.panels - 1;
  std::size_t p = 0;
  if (g.rows == 1) p = int8_wide_panels<1, one_row_panels>(g, full_panels);
  if (g.rows == 2) p = int8_wide_panels<2, two_row_panels>(g, full_panels);
  for (; p < full_panels; ++p) int8_panel_rows(g, p, g.c + p * panel_columns, g.c_stride);
  if (full_panels < g.panels) int8_narrow_panel(g, full_panels);
}

constexpr Int8Gemm int8_gemm = {sizeof(Int8PackedRow), int8_pack_row<bf16>, int8_pack_row<float>, int8_block};
