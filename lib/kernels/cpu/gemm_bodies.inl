// The GEMM block for vector instruction sets, over the sixteen lanes F and the tile sizes of the including file.

constexpr std::size_t pair_bytes = panel_columns * 2 * sizeof(bf16);  // one pair of k over a panel

// From this many rows on a panel is widened once into scratch instead of again in every row tile. The bits are the
// same; on Zen 5 and Sapphire Rapids they cost the same between 64 and 96 rows.
constexpr std::size_t widen_from_rows = 80;

enum class Weights { Packed, Widened };

struct TileArguments {
  const float* a;
  const char* w;            // first panel, at the tile's first column
  std::size_t panel_bytes;  // from one panel to the next
  std::size_t pairs;
  float* c;
  std::size_t c_stride;
  bool first;
  const char* next;  // lines to prefetch, two (or a line a vector) every pair, advancing by next_step
  std::size_t next_step;
};

// Sixteen weights at w, the panel pair of k: the even or the odd k, the vector-th of the tile's columns.
template <Weights weights>
INLINE F load_weights(const char* w, std::size_t panel_bytes, int odd, int vector) {
  if constexpr (weights == Weights::Widened) {
    return load(reinterpret_cast<const float*>(w) + static_cast<std::size_t>(odd) * panel_columns + 16 * vector);
  } else {
    const char* p = w + static_cast<std::size_t>(vector / 2) * panel_bytes + vector % 2 * 64;
    U both = load(reinterpret_cast<const std::uint32_t*>(p));
    return floats(odd ? both & splat(0xffff0000u) : shift_left<16>(both));
  }
}

// Rows x (16 * Vectors) of C in registers over one K block.
template <int Rows, int Vectors, Weights weights>
void gemm_tile(const TileArguments& t) {
  F sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      sum[i][v] = t.first ? splat(0.0f) : load(t.c + static_cast<std::size_t>(i) * t.c_stride + 16 * v);
    }
  }
  const float* a = t.a;
  const char* w = t.w;
  const char* next = t.next;
  const std::size_t panel_bytes = t.panel_bytes, next_step = t.next_step;
  for (std::size_t pairs = t.pairs; pairs > 0; --pairs) {
#pragma GCC unroll 8
    for (int line = 0; line < (Vectors > 2 ? Vectors : 2); ++line) __builtin_prefetch(next + 64 * line, 0, 2);
    next += next_step;
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {
      F x[Vectors];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) x[v] = load_weights<weights>(w, panel_bytes, odd, v);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        F row = splat(a[static_cast<std::size_t>(i) * a_row_stride + static_cast<std::size_t>(odd)]);
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) sum[i][v] = fma(row, x[v], sum[i][v]);
        if constexpr (weights == Weights::Packed) load_after(a, sum[i][Vectors - 1]);
      }
      if constexpr (weights == Weights::Packed) load_after(w, sum[Rows - 1][Vectors - 1]);
    }
    a += 2;
    w += weights == Weights::Widened ? 2 * panel_columns * sizeof(float) : pair_bytes;
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(t.c + static_cast<std::size_t>(i) * t.c_stride + 16 * v, sum[i][v]);
  }
}

using GemmTile = void (*)(const TileArguments&);

template <int... Less>
struct GemmTables {
  static constexpr GemmTile packed[] = {gemm_tile<Less + 1, tile_vectors, Weights::Packed>...};
  static constexpr GemmTile widened[] = {gemm_tile<Less + 1, tile_vectors, Weights::Widened>...};
};
template <int Count, int... Less>
struct MakeGemmTables : MakeGemmTables<Count - 1, Count - 1, Less...> {};
template <int... Less>
struct MakeGemmTables<0, Less...> : GemmTables<Less...> {};
using Tiles = MakeGemmTables<tile_rows>;

void widen_panel(const bf16* w, std::size_t pairs, float* out) {
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    for (std::size_t v = 0; v < panel_columns; v += 16) {
      U both = load(reinterpret_cast<const std::uint32_t*>(w + (pair * panel_columns + v) * 2));
      store(out + 2 * pair * panel_columns + v, floats(shift_left<16>(both)));
      store(out + (2 * pair + 1) * panel_columns + v, floats(both & splat(0xffff0000u)));
    }
  }
}

// A panel as the register tiles read it.
struct PanelView {
  const char* data;
  Weights weights;
};

// All row tiles of one panel. The first tiles prefetch what comes next.
void panel_rows(const GemmBlock& g, const PanelView& w, float* c, std::size_t c_stride, const std::byte* next) {
  const bool widened = w.weights == Weights::Widened;
  const std::size_t steps = panel_columns / (16 * tile_vectors);  // column steps of a panel
  const std::size_t step_bytes = (widened ? sizeof(float) : 2 * sizeof(bf16)) * 16 * tile_vectors;
  const bool single = g.rows <= tile_rows && steps == 1;
  const char* ahead = reinterpret_cast<const char*>(next);
  std::size_t run = 0;  // register tiles so far
  for (std::size_t s = 0; s < steps; ++s) {
    balanced_tiles(g.rows, [&](std::size_t row, std::size_t rows) {
      // One tile alone fetches both halves of the next panel; of several, the first two fetch one half each.
      const bool fetches = ahead != nullptr && run < 2;
      const std::size_t half = run == 1 ? g.pairs * 64 : 0;
      TileArguments t = {g.a + row * a_row_stride,
                         w.data + s * step_bytes,
                         0,
                         g.pairs,
                         c + row * c_stride + s * 16 * tile_vectors,
                         c_stride,
                         g.first,
                         fetches ? ahead + half : w.data,
                         fetches ? (single ? std::size_t{128} : std::size_t{64}) : 0};
      (widened ? Tiles::widened : Tiles::packed)[rows - 1](t);
      ++run;
    });
  }
}

// The last panel where C is narrower: through a temporary, so that nothing behind C's columns is touched.
void narrow_panel(const GemmBlock& g, const PanelView& w, float* c, const std::byte* next) {
  for (std::size_t row = 0; row < g.rows; row += tile_rows) {
    GemmBlock part = g;
    part.a = g.a + row * a_row_stride;
    part.rows = g.rows - row < tile_rows ? g.rows - row : tile_rows;
    alignas(64) float temporary[tile_rows * panel_columns];
    for (std::size_t i = 0; i < part.rows; ++i) {
      for (std::size_t j = 0; j < panel_columns; ++j) {
        temporary[i * panel_columns + j] = j < g.last_columns && !g.first ? c[(row + i) * g.c_stride + j] : 0.0f;
      }
    }
    panel_rows(part, w, temporary, panel_columns, next);
    for (std::size_t i = 0; i < part.rows; ++i) {
      for (std::size_t j = 0; j < g.last_columns; ++j) {
        c[(row + i) * g.c_stride + j] = temporary[i * panel_columns + j];
      }
    }
  }
}

// Panel `p` of the block, all rows.
void one_panel(const GemmBlock& g, std::size_t p, const PanelView& w, const std::byte* next) {
  float* c = g.c + p * panel_columns;
  if (p + 1 < g.panels || g.last_columns == panel_columns) return panel_rows(g, w, c, g.c_stride, next);
  narrow_panel(g, w, c, next);
}

// The data `panels` panels after panel `p`: the block that follows begins behind the last.
const std::byte* data_after(const GemmBlock& g, std::size_t p, std::size_t panels) {
  const std::byte* here = g.w.data + p * g.w.panel_bytes;
  return p + panels < g.panels ? here + panels * g.w.panel_bytes : (g.next ? g.next : here);
}

// Few rows do not fill the FMA pipes with one panel's accumulators, so they take several panels side by side.
// Returns the panels done.
template <int Rows, int Panels>
std::size_t wide_panels(const GemmBlock& g, std::size_t full_panels) {
  std::size_t p = 0;
  for (; p + Panels <= full_panels; p += Panels) {
    const char* w = reinterpret_cast<const char*>(g.w.data + p * g.w.panel_bytes);
    const char* next = reinterpret_cast<const char*>(data_after(g, p, Panels));
    gemm_tile<Rows, 2 * Panels, Weights::Packed>(
        {g.a, w, g.w.panel_bytes, g.pairs, g.c + p * panel_columns, g.c_stride, g.first, next, 128 * Panels});
  }
  return p;
}

void packed_block(const GemmBlock& g) {
  const std::size_t full_panels = g.last_columns == panel_columns ? g.panels : g.panels - 1;
  std::size_t p = 0;
  if (g.rows == 1) p = wide_panels<1, one_row_panels>(g, full_panels);
  if (g.rows == 2) p = wide_panels<2, two_row_panels>(g, full_panels);
  if constexpr (three_row_panels > 0) {
    if (g.rows == 3) p = wide_panels<3, three_row_panels>(g, full_panels);
  }
  for (; p < g.panels; ++p) {
    const std::byte* data = g.w.data + p * g.w.panel_bytes;
    PanelView w = {reinterpret_cast<const char*>(data), Weights::Packed};
    if (g.rows >= widen_from_rows && p < full_panels) {
      widen_panel(reinterpret_cast<const bf16*>(data), g.pairs, g.widened);
      w = {reinterpret_cast<const char*>(g.widened), Weights::Widened};
    }
    one_panel(g, p, w, data_after(g, p, 1));
  }
}

// Pairs of k that are decoded at a time: few enough that their 16 KiB of fp32 stay in the L1 cache, or all of a block
// where so many rows share them that going over C less often is worth more.
std::size_t decoded_pairs(std::size_t rows) { return rows < 64 ? 64 : block_inputs / 2; }

// One panel of codes: few rows use the weights in registers, more find them in `widened`, segment after segment of k.
void coded_panel(const GemmBlock& g, std::size_t p) {
  const char* next = reinterpret_cast<const char*>(data_after(g, p, 1));
  if (g.rows <= decoded_rows && (p + 1 < g.panels || g.last_columns == panel_columns)) {
    float* c = g.c + p * panel_columns;
    return DecodedTiles::of_rows[g.rows - 1](g.w, p, g.pairs, next, g.a, c, g.c_stride, g.first);
  }
  const std::size_t step = decoded_pairs(g.rows);
  for (std::size_t first = 0; first < g.pairs; first += step) {
    GemmBlock part = g;
    part.a = g.a + 2 * first;
    part.pairs = g.pairs - first < step ? g.pairs - first : step;
    part.first = g.first && first == 0;
    decode_panel(g.w, p, first, part.pairs, next + first * g.w.panel_bytes / g.pairs, g.widened);
    one_panel(part, p, {reinterpret_cast<const char*>(g.widened), Weights::Widened}, nullptr);
  }
}

void gemm_block(const GemmBlock& g) {
  if (g.w.format == Format::Bf16) return packed_block(g);
  for (std::size_t p = 0; p < g.panels; ++p) coded_panel(g, p);
}
