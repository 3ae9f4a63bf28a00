// A page of grouped attention over the sixteen lanes F of the including file's instruction set.
constexpr std::size_t page_positions = page_tokens;
constexpr std::size_t row_chunk = attention_query_chunk;
constexpr std::size_t line_bytes = 64;
constexpr std::size_t near_bytes = 2048;  // from L2 to L1 ahead of use

// C[rows][16 * vectors] = C * factor, or 0, then the chain over k of A[row][k] * B[k][column], where B holds pairs of k
// in 32-bit words. Scores and outputs are both of this kind.
struct PageProduct {
  const float* a;       // [count / 64][rows][64]
  std::size_t a_chunk;  // from one 64 of k to the next
  const bf16* b;
  std::size_t b_stride;  // columns of a pair
  std::size_t count;     // of k
  const bf16* last;      // where it is odd: the last k by itself; null: in its pair, whose other half is not looked at
  const float* factor;   // [rows]; null: from zero
  float* c;
  std::size_t c_stride;
  const char* next;       // to be prefetched; null: nothing
  std::size_t next_step;  // bytes of it for every vector of a pair
};

// One k of all rows.
template <int Rows, int Vectors>
INLINE void add_products(const float*& a, const F (&x)[Vectors], F (&sum)[Rows][Vectors], int offset) {
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    F row = splat(a[i * row_chunk + offset]);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[i][v] = fma(row, x[v], sum[i][v]);
    load_after(a, sum[i][Vectors - 1]);
  }
}

// The even or the odd k of a pair.
template <int odd, int Rows, int Vectors>
INLINE void add_half(const float*& a, const std::uint32_t*& b, F (&sum)[Rows][Vectors]) {
  F x[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    U both = load(b + 16 * v);
    x[v] = floats(odd ? both & splat(0xffff0000u) : shift_left<16>(both));
  }
  add_products(a, x, sum, odd);
  load_after(b, sum[Rows - 1][Vectors - 1]);
}

template <int Rows, int Vectors>
INLINE void add_last(const float*& a, const bf16* b, F (&sum)[Rows][Vectors]) {
  F x[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) x[v] = load_bf16(b + 16 * v);
  add_products(a, x, sum, 0);
}

template <int Rows, int Vectors>
void product_tile(const PageProduct& t) {
  F sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      sum[i][v] =
          t.factor ? load(t.c + static_cast<std::size_t>(i) * t.c_stride + 16 * v) * splat(t.factor[i]) : splat(0.0f);
    }
  }
  const std::size_t b_stride = t.b_stride;
  const auto* b = reinterpret_cast<const std::uint32_t*>(t.b);
  const char* next = t.next ? t.next : reinterpret_cast<const char*>(b);
  const std::size_t step = t.next ? t.next_step : 0;
  const float* chunk = t.a;
  for (std::size_t rest = t.count; rest > 0; chunk += t.a_chunk) {
    const std::size_t count = rest < row_chunk ? rest : row_chunk;
    const float* a = chunk;
    for (std::size_t pairs = count / 2; pairs > 0; --pairs) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        __builtin_prefetch(next + v * step, 0, 2);
        __builtin_prefetch(reinterpret_cast<const char*>(b + 16 * v) + near_bytes);
      }
      next += Vectors * step;
      add_half<0>(a, b, sum);
      add_half<1>(a, b, sum);
      a += 2;
      b += b_stride;
    }
    if (count % 2 == 1) t.last ? add_last(a, t.last, sum) : add_half<0>(a, b, sum);
    rest -= count;
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(t.c + static_cast<std::size_t>(i) * t.c_stride + 16 * v, sum[i][v]);
  }
}

// Vectors side by side for that many rows, so that accumulators fill the registers.
constexpr int vectors_for(int rows) {
  for (int vectors = widest_product; vectors > tile_vectors; vectors /= 2) {
    if (rows * vectors <= tile_rows * tile_vectors && rows < tile_rows / 2) return vectors;
  }
  return tile_vectors;
}

using ProductTile = void (*)(const PageProduct&);

// Entry [rows - 1] is the tile of that height: at its full width, and one vector wide for what remains.
template <int... Less>
struct ProductTables {
  static constexpr int vectors[] = {vectors_for(Less + 1)...};
  static constexpr ProductTile wide[] = {product_tile<Less + 1, vectors_for(Less + 1)>...};
  static constexpr ProductTile single[] = {product_tile<Less + 1, 1>...};
};
template <int Count, int... Less>
struct MakeProductTables : MakeProductTables<Count - 1, Count - 1, Less...> {};
template <int... Less>
struct MakeProductTables<0, Less...> : ProductTables<Less...> {};
using Products = MakeProductTables<tile_rows>;

// Columns of `vectors` vectors of sixteen.
INLINE void product(PageProduct t, std::size_t rows, std::size_t vectors) {
  while (vectors > 0) {
    const auto most = static_cast<std::size_t>(Products::vectors[rows - 1]);
    const std::size_t step = vectors >= most ? most : 1;
    (step == most ? Products::wide : Products::single)[rows - 1](t);
    vectors -= step;
    t.b += step * 32;
    t.c += step * 16;
    if (t.last) t.last += step * 16;
    if (t.next) t.next += t.count / 2 * step * t.next_step;
  }
}

// The tree of fold_sum and fold_max, in registers.
INLINE float sum_of_lanes(F a) {
  a = a + swap_lanes<8>(a);
  a = a + swap_lanes<4>(a);
  a = a + swap_lanes<2>(a);
  return first_lane(a + swap_lanes<1>(a));
}
INLINE float max_of_lanes(F a) {
  a = max(a, swap_lanes<8>(a));
  a = max(a, swap_lanes<4>(a));
  a = max(a, swap_lanes<2>(a));
  return first_lane(max(a, swap_lanes<1>(a)));
}

// The positions of a page that at least one row sees, and whether every row sees all of them.
struct VisibleRange {
  std::uint32_t begin, end;
  bool all;
};
INLINE VisibleRange visible_range(const AttentionRows& t, std::size_t row, std::size_t rows, std::uint32_t position) {
  std::uint32_t begin = page_positions, end = 0, inner_begin = 0, inner_end = page_positions;
  for (std::size_t r = row; r < row + rows; ++r) {
    const std::uint32_t first = t.first[r] > position ? t.first[r] - position : 0;
    const std::uint32_t behind = t.last[r] < position ? 0 : t.last[r] - position + 1;
    const std::uint32_t last = behind < page_positions ? behind : page_positions;
    if (first < begin) begin = first;
    if (last > end) end = last;
    if (first > inner_begin) inner_begin = first;
    if (last < inner_end) inner_end = last;
  }
  return {begin, end, inner_begin == begin && inner_end == end};
}

// -inf in place of the scores [from, to) in sixteens of positions that their row does not see.
INLINE void hide_scores(const AttentionRows& t, std::size_t row, std::size_t rows, std::uint32_t position,
                        std::size_t from, std::size_t to, float* scores) {
  alignas(64) static const std::uint32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  for (std::size_t r = 0; r < rows; ++r) {
    const U first = splat(t.first[row + r]), last = splat(t.last[row + r]);
    for (std::size_t v = from; v < to; ++v) {
      float* s = scores + r * page_positions + 16 * v;
      const U at = load(lanes) + splat(position + static_cast<std::uint32_t>(16 * v));
      store(s, where_within(at, first, last, load(s), splat(-infinity)));
    }
  }
}

// Updates the maximum and sum of each row from its first `Vectors` sixteens of scores, which become
// exp(s - maximum).
template <int Vectors>
INLINE void softmax_rows(AttentionRows& t, std::size_t row, std::size_t rows, float* scores, float* factor) {
  alignas(64) float before[16] = {}, offset[16] = {};
  for (std::size_t r = 0; r < rows; ++r) {
    const float* s = scores + r * page_positions;
    F best = load(s);
#pragma GCC unroll 4
    for (int v = 1; v < Vectors; ++v) best = max(best, load(s + 16 * v));
    const float top = max_of_lanes(best);
    before[r] = t.maximum[row + r];
    t.maximum[row + r] = top > before[r] ? top : before[r];
    // A row that has seen nothing yet subtracts the lowest finite value instead of -inf: exp gives 0, not NaN.
    offset[r] = t.maximum[row + r] > -3.0e38f ? t.maximum[row + r] : -3.0e38f;
  }
  store(factor, exp_at_most_one(load(before) - load(offset)));
  for (std::size_t r = 0; r < rows; ++r) {
    float* s = scores + r * page_positions;
    const F least = splat(offset[r]);
    F p[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) p[v] = exp_at_most_one(load(s + 16 * v) - least);
    F sum = p[0];
#pragma GCC unroll 4
    for (int v = 1; v < Vectors; ++v) sum = sum + p[v];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(s + 16 * v, p[v]);
    t.sum[row + r] = t.sum[row + r] * factor[r] + sum_of_lanes(sum);
  }
}

INLINE void softmax_page(AttentionRows& t, std::size_t row, std::size_t rows, std::size_t vectors, float* scores,
                         float* factor) {
  switch (vectors) {
    case 4: return softmax_rows<4>(t, row, rows, scores, factor);
    case 3: return softmax_rows<3>(t, row, rows, scores, factor);
    case 2: return softmax_rows<2>(t, row, rows, scores, factor);
    default: return softmax_rows<1>(t, row, rows, scores, factor);
  }
}

INLINE void fetch(const float* data, std::size_t count) {
  for (std::size_t i = 0; i < count; i += line_bytes / sizeof(float)) __builtin_prefetch(data + i, 0, 2);
}

void attention_page(AttentionRows& t, const bf16* page, std::uint32_t position, const PageAhead& next) {
  alignas(64) float scores[tile_rows * page_positions];
  alignas(64) float factor[16];
  const bf16 *keys = page, *values = page + page_positions * t.head_dim;
  // The next page comes into L2 (L1 has no room for it beside this one) while this one is used, a part with each tile.
  const std::size_t half_page = page_positions * t.head_dim * sizeof(bf16);
  const std::size_t part = half_page / t.rows, step = line_bytes / ((t.rows + tile_rows - 1) / tile_rows);
  const auto* next_keys = reinterpret_cast<const char*>(next.page);
  const char* next_values = next.page ? next_keys + half_page : nullptr;
  const std::size_t row_floats = next.queries.size() / t.rows;
  balanced_tiles(t.rows, [&](std::size_t row, std::size_t rows) {
    const VisibleRange visible = visible_range(t, row, rows, position);
    if (visible.begin >= visible.end) return;
    const std::size_t from = visible.begin / 16, to = (visible.end + 15) / 16, pair = visible.begin / 2;
    product({.a = t.query + row * row_chunk,
             .a_chunk = t.rows * row_chunk,
             .b = keys + from * 32,
             .b_stride = page_positions,
             .count = t.head_dim,
             .last = keys + t.head_dim / 2 * 2 * page_positions + from * 16,
             .factor = nullptr,
             .c = scores + from * 16,
             .c_stride = page_positions,
             .next = next.page ? next_keys + row * part : nullptr,
             .next_step = step},
            rows, to - from);
    const bool masked = !visible.all || from * 16 < visible.begin || to * 16 > visible.end;
    if (masked) hide_scores(t, row, rows, position, from, to, scores);
    fetch(next.queries.data() + row * row_floats, rows * row_floats);
    softmax_page(t, row, rows, to - from, scores + from * 16, factor);
    product({.a = scores + pair * 2,
             .a_chunk = 0,
             .b = values + pair * 2 * t.head_dim,
             .b_stride = t.head_dim,
             .count = visible.end - pair * 2,
             .last = nullptr,
             .factor = factor,
             .c = t.output + row * t.output_stride,
             .c_stride = t.output_stride,
             .next = next.page ? next_values + row * part : nullptr,
             .next_step = step},
            rows, (t.head_dim + 15) / 16);
  });
}

void attention_rows_begin(AttentionRows& t, HeadsOfGroup<const float> queries, float scale) {
  for (std::size_t r = 0; r < t.rows; ++r) {
    const float* in = queries.data + r / queries.heads * queries.stride + r % queries.heads * t.head_dim;
    for (std::size_t d = 0; d < t.head_dim; d += 16) {
      const std::size_t rest = t.head_dim - d;
      float* out = t.query + d / row_chunk * t.rows * row_chunk + r * row_chunk + d % row_chunk;
      store(out, (rest < 16 ? load_part(in + d, rest, 0) : load(in + d)) * splat(scale));
    }
  }
}

// Adding zero turns -0 into +0: whether positions that are not visible were multiplied in by 0 then cannot show in the
// sign of a zero.
void attention_rows_end(AttentionRows& t, HeadsOfGroup<float> outputs) {
  for (std::size_t r = 0; r < t.rows; ++r) {
    const F divisor = splat(t.sum[r] > 0x1p-126f ? t.sum[r] : 0x1p-126f);  // a row that sees something has at least 1
    float* out = outputs.data + r / outputs.heads * outputs.stride + r % outputs.heads * t.head_dim;
    for (std::size_t d = 0; d < t.head_dim; d += 16) {
      const std::size_t rest = t.head_dim - d;
      const F o = load(t.output + r * t.output_stride + d) / divisor + splat(0.0f);
      rest < 16 ? store_part(out + d, o, rest) : store(out + d, o);
    }
  }
}
