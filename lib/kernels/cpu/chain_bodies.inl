// The router's product: fp32 rows in the order of k, every output one chain.

// Lines of a pair's columns that hold four successive inputs, and the halves in which they come.
template <PairOrder order>
struct FourInputs {
  static constexpr bool successive = order == PairOrder::Successive;
  static constexpr std::size_t second_line = successive ? 1 : half_pairs;  // after the first
  static constexpr std::size_t line(std::size_t four) { return successive ? 2 * four : four; }
  // Input 0 .. 3: in the second line, in the upper half.
  static constexpr bool second[4] = {false, !successive, successive, true};
  static constexpr bool upper[4] = {!successive, true, false, successive};
};

// Rows x 16 of C over one K block.
template <int Rows, PairOrder order>
void chain_tile(const float* a, const std::uint32_t* w, std::size_t groups, float* c, std::size_t c_stride,
                bool first) {
  using Four = FourInputs<order>;
  F sum[Rows];
  for (int i = 0; i < Rows; ++i) sum[i] = first ? splat(0.0f) : load(c + static_cast<std::size_t>(i) * c_stride);
  for (std::size_t group = 0; group < groups; ++group, w += group_pairs * panel_columns) {
    for (std::size_t four = 0; four < half_pairs; ++four, a += 4) {
      const std::uint32_t* line = w + Four::line(four) * panel_columns;
      const U pairs[2] = {load(line), load(line + Four::second_line * panel_columns)};
#pragma GCC unroll 4
      for (int input = 0; input < 4; ++input) {
        const U both = pairs[Four::second[input]];
        const F x = floats(Four::upper[input] ? both & splat(0xffff0000u) : shift_left<16>(both));
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) {
          sum[i] = fma(splat(a[static_cast<std::size_t>(i) * chain_row_values + static_cast<std::size_t>(input)]), x,
                       sum[i]);
        }
      }
    }
  }
  for (int i = 0; i < Rows; ++i) store(c + static_cast<std::size_t>(i) * c_stride, sum[i]);
}

constexpr int chain_tile_rows = tile_rows >= 8 ? 8 : 4;

template <PairOrder order>
void chain_rows(const GemmBlock& g, std::size_t panel, float* c, std::size_t c_stride) {
  const auto* a = reinterpret_cast<const float*>(g.a);
  for (std::size_t half = 0; half < panel_columns; half += 16) {
    const auto* w = reinterpret_cast<const std::uint32_t*>(g.w.data + panel * g.w.panel_bytes) + half;
    std::size_t r = 0;
    for (; r + chain_tile_rows <= g.rows; r += chain_tile_rows) {
      chain_tile<chain_tile_rows, order>(a + r * chain_row_values, w, g.groups, c + r * c_stride + half, c_stride,
                                         g.first);
    }
    for (; r < g.rows; ++r) {
      chain_tile<1, order>(a + r * chain_row_values, w, g.groups, c + r * c_stride + half, c_stride, g.first);
    }
  }
}

void chain_block(const GemmBlock& g) {
  for (std::size_t p = 0; p < g.panels; ++p) {
    const std::size_t columns = p + 1 < g.panels ? panel_columns : g.last_columns;
    // A narrow panel goes through scratch, so that nothing behind C's columns is touched.
    const bool whole = columns == panel_columns;
    auto* narrow = reinterpret_cast<float*>(g.scratch);
    float* c = whole ? g.c + p * panel_columns : narrow;
    const std::size_t stride = whole ? g.c_stride : panel_columns;
    for (std::size_t r = 0; !whole && !g.first && r < g.rows; ++r) {
      for (std::size_t j = 0; j < columns; ++j) narrow[r * stride + j] = g.c[r * g.c_stride + p * panel_columns + j];
    }
    const auto rows =
        g.w.order == PairOrder::Successive ? chain_rows<PairOrder::Successive> : chain_rows<PairOrder::EvenThenOdd>;
    rows(g, p, c, stride);
    for (std::size_t r = 0; !whole && r < g.rows; ++r) {
      for (std::size_t j = 0; j < columns; ++j) g.c[r * g.c_stride + p * panel_columns + j] = narrow[r * stride + j];
    }
  }
}
