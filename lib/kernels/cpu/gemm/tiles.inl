// The product with weights for vector instruction sets, over the sixteen lanes F, the tile sizes and the pairs
// (gemm/fma.inl or a dot instruction) of the including file.

constexpr std::size_t pair_bytes = panel_columns * 2 * sizeof(bf16);  // one pair over a panel
constexpr std::size_t decoded_pair_bytes =
    decoded_weights == Weights::Widened ? 2 * panel_columns * sizeof(float) : pair_bytes;
// Row stride of packed A. Not a multiple of 4 KiB, so the rows of a tile do not fall into one cache set.
constexpr std::size_t row_values = block_inputs / 2 * pair_row_values + 16;

// Where the totals of a tile lie: C, scratch, or zeros that all rows share.
template <class T>
struct Totals {
  T* data;
  std::size_t stride;  // from one row to the next
};

struct TileArguments {
  const RowValue* a;
  const char* w;            // first panel, at the tile's first column
  std::size_t panel_bytes;  // from one panel to the next
  std::size_t groups;
  Totals<const float> in;
  Totals<float> out;
  const char* next;  // lines to prefetch, two (or a line a vector) every pair, advancing by next_step
  std::size_t next_step;
  float* sums;    // sums_bytes of scratch
  char* widened;  // Weights::Widening: where the weights go, at the tile's first column
};

// What a panel starts from in its first block of k.
alignas(64) constexpr float zeros[16 * 2 * 4] = {};

// The sums of a half, vector behind vector.
template <int Rows, int Vectors>
INLINE void store_sums(const F (&sum)[Rows][Vectors], float* to) {
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(to + (i * Vectors + v) * 16, sum[i][v]);
  }
}

// total_out = total_in + (even + odd), the end of a group.
template <int Rows, int Vectors>
INLINE void add_group(const float* even, const F (&odd)[Rows][Vectors], Totals<const float> in, Totals<float> out) {
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      store(out.data + 16 * v, load(in.data + 16 * v) + (load(even + (i * Vectors + v) * 16) + odd[i][v]));
    }
    in.data += in.stride;
    out.data += out.stride;
  }
}

// Rows x (16 * Vectors) of C over one K block. A half of a group adds up in registers; the sums of the even half and,
// between groups, the tile of C wait in L1.
template <int Rows, int Vectors, Weights weights>
void gemm_tile(const TileArguments& t) {
  static_assert(2 * Rows * Vectors * 16 * sizeof(float) <= sums_bytes);
  const Totals<float> waiting{t.sums, Vectors * 16}, out = t.out;
  Totals<const float> in = t.in;
  float* even = t.sums + Rows * Vectors * 16;
  const RowValue* a = t.a;
  const char* w = t.w;
  const char* next = t.next;
  [[maybe_unused]] char* widened = t.widened;
  const std::size_t panel_bytes = t.panel_bytes, next_step = t.next_step;
  for (std::size_t halves = 2 * t.groups; halves > 0; --halves) {
    F sum[Rows][Vectors];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[i][v] = splat(0.0f);
    }
#pragma GCC unroll 1
    for (std::size_t pair = 0; pair < half_pairs; ++pair) {
#pragma GCC unroll 8
      for (int line = 0; line < (Vectors > 2 ? Vectors : 2); ++line) __builtin_prefetch(next + 64 * line, 0, 2);
      next += next_step;
#pragma GCC unroll 2
      for (int step = 0; step < static_cast<int>(pair_row_values); ++step) {
        decltype(load_weights<weights>(w, panel_bytes, step, 0)) x[Vectors];
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) {
          x[v] = load_weights<weights>(w, panel_bytes, step, v);
          if constexpr (weights == Weights::Widening) store_widened(x[v], widened, step, v);
        }
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) {
          const auto row = splat(a[static_cast<std::size_t>(i) * row_values + static_cast<std::size_t>(step)]);
#pragma GCC unroll 8
          for (int v = 0; v < Vectors; ++v) sum[i][v] = multiply_add(row, x[v], sum[i][v]);
          if constexpr (weights != Weights::Widened) load_after(a, sum[i][Vectors - 1]);
        }
        if constexpr (weights != Weights::Widened) load_after(w, sum[Rows - 1][Vectors - 1]);
      }
      a += pair_row_values;
      w += weights == decoded_weights ? decoded_pair_bytes : pair_bytes;
      if constexpr (weights == Weights::Widening) widened += decoded_pair_bytes;
    }
    if (halves % 2 == 0) {
      store_sums(sum, even);
    } else {
      add_group<Rows, Vectors>(even, sum, in, halves > 1 ? waiting : out);
      in = {waiting.data, waiting.stride};
    }
  }
}

using GemmTile = void (*)(const TileArguments&);

template <Weights weights, int... Less>
struct GemmTable {
  static constexpr GemmTile of_rows[] = {gemm_tile<Less + 1, tile_vectors, weights>...};
};
template <Weights weights, int Count, int... Less>
struct MakeGemmTable : MakeGemmTable<weights, Count - 1, Count - 1, Less...> {};
template <Weights weights, int... Less>
struct MakeGemmTable<weights, 0, Less...> : GemmTable<weights, Less...> {};
using PackedTiles = MakeGemmTable<Weights::Packed, tile_rows>;
using SharedTiles = MakeGemmTable<shared_weights, shared_rows>;
using DecodedTiles = MakeGemmTable<decoded_weights, shared_rows>;

// A panel as the register tiles read it: packed, widened by the first tile for the ones after it, or decoded.
enum class PanelForm { Packed, Shared, Decoded };
struct PanelView {
  const char* data;
  PanelForm form;
};

float* sums_of(const GemmBlock& g) { return reinterpret_cast<float*>(g.scratch + widened_panel_bytes); }
const RowValue* row_of(const GemmBlock& g, std::size_t row) {
  return reinterpret_cast<const RowValue*>(g.a + row * row_values * sizeof(RowValue));
}

// Where all rows of a panel begin and end.
struct PanelTotals {
  Totals<const float> in;
  Totals<float> out;
};
PanelTotals totals_in(const GemmBlock& g, float* c, std::size_t stride) {
  return {g.first ? Totals<const float>{zeros, 0} : Totals<const float>{c, stride}, {c, stride}};
}

// All row tiles of one panel. The first tiles prefetch what comes next.
void panel_rows(const GemmBlock& g, const PanelView& w, const PanelTotals& c, const std::byte* next) {
  constexpr std::size_t steps = panel_columns / (16 * tile_vectors);  // column steps of a panel
  constexpr std::size_t packed_step = pair_bytes / steps, decoded_step = decoded_pair_bytes / pair_row_values / steps;
  const std::size_t most = w.form == PanelForm::Packed ? tile_rows : shared_rows;
  const bool single = g.rows <= most && steps == 1;
  const char* ahead = reinterpret_cast<const char*>(next);
  char* scratch = reinterpret_cast<char*>(g.scratch);
  std::size_t run = 0;  // register tiles so far
  for (std::size_t s = 0; s < steps; ++s) {
    PanelForm form = w.form;
    const auto tile = [&](std::size_t row, std::size_t rows) {
      // One tile alone fetches both halves of the next panel; of several, the first two fetch one half each.
      const bool fetches = ahead != nullptr && run < 2;
      const std::size_t half = run == 1 ? g.groups * group_pairs * 64 : 0;
      const char* data = form == w.form ? w.data : scratch;
      const TileArguments t = {row_of(g, row),
                               data + s * (form == PanelForm::Decoded ? decoded_step : packed_step),
                               0,
                               g.groups,
                               {c.in.data + row * c.in.stride + s * 16 * tile_vectors, c.in.stride},
                               {c.out.data + row * c.out.stride + s * 16 * tile_vectors, c.out.stride},
                               fetches ? ahead + half : data,
                               fetches ? (single ? std::size_t{128} : std::size_t{64}) : 0,
                               sums_of(g),
                               scratch + s * decoded_step};
      const GemmTile* tiles = form == PanelForm::Packed   ? PackedTiles::of_rows
                              : form == PanelForm::Shared ? SharedTiles::of_rows
                                                          : DecodedTiles::of_rows;
      tiles[rows - 1](t);
      if (form == PanelForm::Shared) form = PanelForm::Decoded;
      ++run;
    };
    if (w.form == PanelForm::Packed)
      balanced_tiles<tile_rows>(g.rows, tile);
    else
      balanced_tiles<shared_rows>(g.rows, tile);
  }
}

// A tile at a time, which shares no widened weights.
void narrow_panel(const GemmBlock& g, const PanelView& w, float* c, const std::byte* next) {
  const PanelView own{w.data, w.form == PanelForm::Shared ? PanelForm::Packed : w.form};
  through_temporary<shared_rows>(g, row_values * sizeof(RowValue), c, [&](const GemmBlock& part, float* temporary) {
    panel_rows(part, own, totals_in(part, temporary, panel_columns), next);
  });
}

// Panel `p` of the block, all rows.
void one_panel(const GemmBlock& g, std::size_t p, const PanelView& w, const std::byte* next) {
  float* c = g.c + p * panel_columns;
  if (p + 1 < g.panels || g.last_columns == panel_columns) return panel_rows(g, w, totals_in(g, c, g.c_stride), next);
  narrow_panel(g, w, c, next);
}

// Few rows do not fill the FMA pipes with one panel's accumulators, so they take several panels side by side.
// Returns the panels done.
template <int Rows, int Panels>
std::size_t wide_panels(const GemmBlock& g, std::size_t full_panels) {
  static_assert(Panels * panel_columns * sizeof(float) <= sizeof zeros);
  std::size_t p = 0;
  for (; p + Panels <= full_panels; p += Panels) {
    const char* w = reinterpret_cast<const char*>(g.w.data + p * g.w.panel_bytes);
    const char* next = reinterpret_cast<const char*>(data_after(g, p, Panels));
    const PanelTotals c = totals_in(g, g.c + p * panel_columns, g.c_stride);
    gemm_tile<Rows, 2 * Panels, Weights::Packed>(
        {row_of(g, 0), w, g.w.panel_bytes, g.groups, c.in, c.out, next, 128 * Panels, sums_of(g), nullptr});
  }
  return p;
}

void packed_block(const GemmBlock& g) {
  const std::size_t full_panels = g.last_columns == panel_columns ? g.panels : g.panels - 1;
  std::size_t p = 0;
  if (g.rows == 1) p = wide_panels<1, one_row_panels>(g, full_panels);
  if (g.rows == 2) p = wide_panels<2, two_row_panels>(g, full_panels);
  for (; p < g.panels; ++p) {
    const std::byte* data = g.w.data + p * g.w.panel_bytes;
    one_panel(g, p, {reinterpret_cast<const char*>(data), PanelForm::Packed}, data_after(g, p, 1));
  }
}

// Rows of C over one panel and all groups of its K block. Decoded weights go from registers into the products.
template <int Rows>
struct DecodedTile {
  const RowValue* a;
  float* total;
  F sum[Rows][2];
  bool odd;

  template <class Pair>
  INLINE void pair(const Pair& x) {
    const Decoded w = decoded(x);
    for (int i = 0; i < Rows; ++i) {
      for (int v = 0; v < 2; ++v)
        sum[i][v] = add_decoded(a + static_cast<std::size_t>(i) * row_values, w, v, sum[i][v]);
    }
    a += pair_row_values;
  }
  INLINE void end_half() {
    float* even = total + Rows * panel_columns;
    for (int i = 0; i < Rows; ++i) {
      for (int v = 0; v < 2; ++v) {
        const int at = (2 * i + v) * 16;
        if (odd)
          store(total + at, load(total + at) + (load(even + at) + sum[i][v]));
        else
          store(even + at, sum[i][v]);
        sum[i][v] = splat(0.0f);
      }
    }
    odd = !odd;
  }
};

template <int Rows>
void decoded_tile(const GemmBlock& g, std::size_t p, const char* next) {
  float* c = g.c + p * panel_columns;
  DecodedTile<Rows> tile;
  tile.a = row_of(g, 0);
  tile.total = sums_of(g);
  tile.odd = false;
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < 2; ++v) {
      store(tile.total + (2 * i + v) * 16,
            g.first ? splat(0.0f) : load(c + static_cast<std::size_t>(i) * g.c_stride + 16 * v));
      tile.sum[i][v] = splat(0.0f);
    }
  }
  decode_groups(g.w, p, 0, g.groups, next, tile);
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < 2; ++v) {
      store(c + static_cast<std::size_t>(i) * g.c_stride + 16 * v, load(tile.total + (2 * i + v) * 16));
    }
  }
}

constexpr std::size_t decoded_rows = 4;  // more accumulators than these do not fit beside the decoding
struct TilesFromCodes {
  static constexpr decltype(&decoded_tile<1>) of_rows[decoded_rows] = {decoded_tile<1>, decoded_tile<2>,
                                                                       decoded_tile<3>, decoded_tile<4>};
};

// Decoded pairs as the register tiles read them.
struct DecodedPanel {
  std::byte* out;

  template <class Pair>
  INLINE void pair(const Pair& x) {
    store_decoded(decoded(x), out);
    out += decoded_pair_bytes;
  }
  INLINE void end_half() {}
};

// Calls product(first_group, part, totals) for the segments of k of panel p, whose weights stay in L1. Between them C
// lies in scratch, row beside row.
template <class Product>
void for_each_segment(const GemmBlock& g, std::size_t p, Product product) {
  constexpr std::size_t kept_at = widened_panel_bytes / 2;
  static_assert(groups_at_a_time * group_pairs * decoded_pair_bytes <= kept_at);
  static_assert(chunk_rows * panel_columns * sizeof(float) <= widened_panel_bytes - kept_at);
  constexpr std::size_t step = groups_at_a_time;
  const PanelTotals c = totals_in(g, g.c + p * panel_columns, g.c_stride);
  const Totals<float> kept{reinterpret_cast<float*>(g.scratch + kept_at), panel_columns};
  for (std::size_t first = 0; first < g.groups; first += step) {
    GemmBlock part = g;
    part.a = g.a + first * group_pairs * pair_row_values * sizeof(RowValue);
    part.groups = g.groups - first < step ? g.groups - first : step;
    part.first = g.first && first == 0;
    const Totals<const float> before{kept.data, kept.stride};
    product(first, part, PanelTotals{first == 0 ? c.in : before, first + step < g.groups ? kept : c.out});
  }
}

void part_of_panel(const GemmBlock& part, std::size_t p, const PanelView& w, const PanelTotals& c,
                   const std::byte* next) {
  if (p + 1 < part.panels || part.last_columns == panel_columns) return panel_rows(part, w, c, next);
  narrow_panel(part, w, part.c + p * panel_columns, next);
}

// One panel of codes through scratch.
void decoded_panel(const GemmBlock& g, std::size_t p) {
  const char* next = reinterpret_cast<const char*>(data_after(g, p, 1));
  for_each_segment(g, p, [&](std::size_t first, const GemmBlock& part, const PanelTotals& c) {
    DecodedPanel panel{g.scratch};
    decode_groups(g.w, p, first, part.groups, next + first * g.w.panel_bytes / g.groups, panel);
    part_of_panel(part, p, {reinterpret_cast<const char*>(g.scratch), PanelForm::Decoded}, c, nullptr);
  });
}

// One panel of bf16 that several row tiles share.
void shared_panel(const GemmBlock& g, std::size_t p) {
  const std::byte *data = g.w.data + p * g.w.panel_bytes, *next = data_after(g, p, 1);
  const std::size_t group_bytes = g.w.panel_bytes / g.groups;
  for_each_segment(g, p, [&](std::size_t first, const GemmBlock& part, const PanelTotals& c) {
    const PanelView w{reinterpret_cast<const char*>(data + first * group_bytes), PanelForm::Shared};
    part_of_panel(part, p, w, c, next + first * group_bytes);
  });
}

// Few rows use decoded weights in registers, more find them in scratch.
void gemm_block(const GemmBlock& g) {
  const bool coded = g.w.format != Format::Bf16;
  if (!coded && g.rows < widen_from_rows) return packed_block(g);
  for (std::size_t p = 0; p < g.panels; ++p) {
    const bool whole = p + 1 < g.panels || g.last_columns == panel_columns;
    if (!coded) {
      shared_panel(g, p);
    } else if (whole && g.rows <= decoded_rows) {
      TilesFromCodes::of_rows[g.rows - 1](g, p, reinterpret_cast<const char*>(data_after(g, p, 1)));
    } else {
      decoded_panel(g, p);
    }
  }
}

template <class T>
void pack_row(const T* in, std::size_t inputs, std::byte* out) {
  auto* to = reinterpret_cast<RowValue*>(out);
  std::size_t i = 0;
  for (; i + group_inputs <= inputs; i += group_inputs, to += group_pairs * pair_row_values)
    store_row_group(in + i, to);
  if (i == inputs) return;
  T last[group_inputs] = {};
  for (std::size_t j = i; j < inputs; ++j) last[j - i] = in[j];
  store_row_group(last, to);
}
