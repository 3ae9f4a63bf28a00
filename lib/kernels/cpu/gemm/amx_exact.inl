// The product with weights of fp32 rows where pairs are successive, which tiles of bf16 cannot compute: fused
// multiply-adds over the sixteen lanes F.

constexpr std::size_t exact_row_values = block_inputs + 16;  // no multiple of 4 KiB, so that rows share no cache set

// Rows x 16 of C over one K block, from bf16 pairs.
template <int Rows>
void exact_tile(const float* a, const std::uint32_t* w, std::size_t groups, float* c, std::size_t c_stride,
                bool first) {
  for (std::size_t group = 0; group < groups; ++group) {
    F even[Rows], odd[Rows];
    for (int i = 0; i < Rows; ++i) even[i] = odd[i] = splat(0.0f);
    for (std::size_t pair = 0; pair < group_pairs; ++pair, a += 2, w += panel_columns) {
      const U both = load(w);
      const F lower = floats(shift_left<16>(both)), upper = floats(both & splat(0xffff0000u));
#pragma GCC unroll 8
      for (int i = 0; i < Rows; ++i) {
        const float* row = a + static_cast<std::size_t>(i) * exact_row_values;
        even[i] = fma(splat(row[0]), lower, even[i]);
        odd[i] = fma(splat(row[1]), upper, odd[i]);
      }
    }
    for (int i = 0; i < Rows; ++i) {
      float* to = c + static_cast<std::size_t>(i) * c_stride;
      store(to, (first && group == 0 ? splat(0.0f) : load(to)) + (even[i] + odd[i]));
    }
  }
}

constexpr std::size_t exact_tile_rows = tile_rows >= 8 ? 8 : 4;

void exact_panel(const GemmBlock& g, const std::byte* data, float* c, std::size_t c_stride) {
  const auto* a = reinterpret_cast<const float*>(g.a);
  for (std::size_t half = 0; half < panel_columns; half += 16) {
    const auto* w = reinterpret_cast<const std::uint32_t*>(data) + half;
    std::size_t r = 0;
    for (; r + exact_tile_rows <= g.rows; r += exact_tile_rows) {
      exact_tile<exact_tile_rows>(a + r * exact_row_values, w, g.groups, c + r * c_stride + half, c_stride, g.first);
    }
    for (; r < g.rows; ++r) {
      exact_tile<1>(a + r * exact_row_values, w, g.groups, c + r * c_stride + half, c_stride, g.first);
    }
  }
}

void exact_block(const GemmBlock& g) {
  constexpr std::size_t decoded_bytes = block_inputs / 2 * line_bytes;
  static_assert(decoded_bytes + chunk_rows * panel_columns * sizeof(float) <= gemm_scratch_bytes);
  for (std::size_t p = 0; p < g.panels; ++p) {
    const std::byte* data = g.w.data + p * g.w.panel_bytes;
    if (g.w.format != Format::Bf16) {
      DecodedLines lines{g.scratch};
      decode_groups(g.w, p, 0, g.groups, reinterpret_cast<const char*>(data), lines);
      data = g.scratch;
    }
    const std::size_t columns = p + 1 < g.panels ? panel_columns : g.last_columns;
    float* c = g.c + p * panel_columns;
    if (columns == panel_columns) {
      exact_panel(g, data, c, g.c_stride);
      continue;
    }
    // A narrow panel goes through scratch, so that nothing behind C's columns is touched.
    auto* narrow = reinterpret_cast<float*>(g.scratch + decoded_bytes);
    for (std::size_t r = 0; r < g.rows; ++r) {
      for (std::size_t j = 0; !g.first && j < columns; ++j) narrow[r * panel_columns + j] = c[r * g.c_stride + j];
    }
    exact_panel(g, data, narrow, panel_columns);
    for (std::size_t r = 0; r < g.rows; ++r) {
      for (std::size_t j = 0; j < columns; ++j) c[r * g.c_stride + j] = narrow[r * panel_columns + j];
    }
  }
}

constexpr ExactGemm exact_gemm = {exact_row_values * sizeof(float), pack_row<float>, exact_block};
