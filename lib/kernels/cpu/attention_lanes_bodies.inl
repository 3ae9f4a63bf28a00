// The attention block over the sixteen lanes F of the including file's instruction set.

constexpr std::size_t block_tokens = page_tokens;

// Memory that is needed after this block and comes into L2 meanwhile: up to four lines with every sixteen steps of a
// chain.
struct Ahead {
  const char* at;    // null: nothing
  std::size_t step;  // bytes, up to four lines
};
constexpr std::size_t ahead_steps = 16, ahead_bytes = 256;
INLINE void fetch(Ahead& ahead) {
  if (!ahead.at) return;
  for (std::size_t i = 0; i < ahead_bytes; i += 64) __builtin_prefetch(ahead.at + i, 0, 2);
  ahead.at += ahead.step;
}

// s[t][lanes] = the chain over d of k[t][d] * q[d][lanes], for Tokens rows of keys and Vectors sixteens of lanes, from
// 0 or from what it has become so far.
template <int Tokens, int Vectors>
void score_tile(const float* keys, std::size_t key_stride, const float* query, std::size_t width, std::size_t lanes,
                const float* so_far, float* scores, Ahead& ahead) {
  F s[Tokens][Vectors];
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) s[t][v] = so_far ? load(so_far + t * lanes + 16 * v) : splat(0.0f);
  }
  for (std::size_t d = 0; d < width; ++d) {
    if (d % ahead_steps == 0) fetch(ahead);
    F q[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) q[v] = load(query + d * lanes + 16 * v);
    const float* k = keys + d;
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      F key = splat(*k);
      k += key_stride;
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) s[t][v] = fma(key, q[v], s[t][v]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) store(scores + t * lanes + 16 * v, s[t][v]);
  }
}

// o[d][lanes] = o[d][lanes] * factor, then the chain over t of v[t][d] * p[t][lanes], for Dims values of d.
template <int Dims, int Vectors>
void value_tile(const float* values, std::size_t value_stride, const float* p, std::size_t tokens, std::size_t lanes,
                const float* factor, float* output, Ahead& ahead) {
  F o[Dims][Vectors];
#pragma GCC unroll 16
  for (int d = 0; d < Dims; ++d) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) o[d][v] = load(output + d * lanes + 16 * v) * load(factor + 16 * v);
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    if (t % ahead_steps == 0) fetch(ahead);
    F weight[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) weight[v] = load(p + t * lanes + 16 * v);
#pragma GCC unroll 16
    for (int d = 0; d < Dims; ++d) {
      F value = splat(values[t * value_stride + d]);
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) o[d][v] = fma(value, weight[v], o[d][v]);
    }
  }
#pragma GCC unroll 16
  for (int d = 0; d < Dims; ++d) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) store(output + d * lanes + 16 * v, o[d][v]);
  }
}

using ScoreTile = void (*)(const float*, std::size_t, const float*, std::size_t, std::size_t, const float*, float*,
                           Ahead&);
using ValueTile = void (*)(const float*, std::size_t, const float*, std::size_t, std::size_t, const float*, float*,
                           Ahead&);

// Entry [rows - 1] is the tile of that height.
template <int Vectors, int... Less>
struct TileTables {
  static constexpr ScoreTile score[] = {score_tile<Less + 1, Vectors>...};
  static constexpr ValueTile value[] = {value_tile<Less + 1, Vectors>...};
};
template <int Count, int Vectors, int... Less>
struct MakeTables : MakeTables<Count - 1, Vectors, Count - 1, Less...> {};
template <int Vectors, int... Less>
struct MakeTables<0, Vectors, Less...> : TileTables<Vectors, Less...> {};

// The running maximum and sum of one sixteen of lanes over the block's scores, which become exp(s - maximum).
INLINE void softmax_step(AttentionTile& tile, std::size_t lane, std::size_t tokens, std::uint32_t position, bool masked,
                         float* scores, float* factor) {
  const F hidden = splat(-infinity);
  const U first = load(tile.first + lane), last = load(tile.last + lane);
  const F before = load(tile.maximum + lane);
  F best = hidden;
  for (std::size_t t = 0; t < tokens; ++t) {
    F s = load(scores + t * tile.lanes + lane);
    if (masked) {
      s = where_within(splat(position + static_cast<std::uint32_t>(t)), first, last, s, hidden);
      store(scores + t * tile.lanes + lane, s);
    }
    best = max(best, s);
  }
  best = max(best, before);
  // A lane that has seen nothing yet subtracts the lowest finite value instead of -inf: exp gives 0, not NaN.
  const F offset = max(best, splat(-3.0e38f));
  const F scale = exp_at_most_one(before - offset);
  F sum = load(tile.sum + lane) * scale;
  for (std::size_t t = 0; t < tokens; ++t) {
    F p = exp_at_most_one(load(scores + t * tile.lanes + lane) - offset);
    store(scores + t * tile.lanes + lane, p);
    sum = sum + p;
  }
  store(tile.maximum + lane, best);
  store(tile.sum + lane, sum);
  store(factor + lane, scale);
}

INLINE bool any_lane_hides(const AttentionTile& tile, std::uint32_t begin, std::uint32_t end) {
  bool hides = false;
  for (std::size_t l = 0; l < tile.lanes; ++l) hides |= tile.first[l] > begin || tile.last[l] + 1 < end;
  return hides;
}

// attention_block for lanes in groups of 16 * Vectors: scores, softmax, then the weighted sum of values.
template <int Vectors>
void block_of_lanes(AttentionTile& tile, const float* keys, std::size_t key_stride, const float* values,
                    std::size_t value_stride, std::size_t tokens, std::uint32_t first_position) {
  using Tables = MakeTables<tile_rows, Vectors>;
  alignas(64) float scores[block_tokens * attention_lanes];
  alignas(64) float factor[attention_lanes];
  Ahead nothing{nullptr, 0};
  balanced_tiles(tokens, [&](std::size_t t, std::size_t rows) {
    for (std::size_t l = 0; l < tile.lanes; l += 16 * Vectors) {
      Tables::score[rows - 1](keys + t * key_stride, key_stride, tile.query + l, tile.key_width, tile.lanes, nullptr,
                              scores + t * tile.lanes + l, nothing);
    }
  });
  const bool masked = any_lane_hides(tile, first_position, first_position + static_cast<std::uint32_t>(tokens));
  for (std::size_t l = 0; l < tile.lanes; l += 16) {
    softmax_step(tile, l, tokens, first_position, masked, scores, factor);
  }
  balanced_tiles(tile.value_width, [&](std::size_t d, std::size_t rows) {
    for (std::size_t l = 0; l < tile.lanes; l += 16 * Vectors) {
      Tables::value[rows - 1](values + d, value_stride, scores + l, tokens, tile.lanes, factor + l,
                              tile.output + d * tile.lanes + l, nothing);
    }
  });
}

void attention_block(AttentionTile& tile, const float* keys, std::size_t key_stride, const float* values,
                     std::size_t value_stride, std::size_t tokens, std::uint32_t first_position) {
  if (tile.lanes == 16) {
    block_of_lanes<1>(tile, keys, key_stride, values, value_stride, tokens, first_position);
  } else {
    block_of_lanes<tile_vectors>(tile, keys, key_stride, values, value_stride, tokens, first_position);
  }
}

// Whole vectors: what lies behind `columns` may be read and is not used.
INLINE void widen_piece(const LatentBlock& block, std::size_t first_column, std::size_t columns) {
  for (std::size_t t = 0; t < block.tokens; ++t) {
    const bf16* row = block.rows + t * block.stride + first_column;
    float* out = block.scratch + t * latent_piece;
    for (std::size_t i = 0; i < columns; i += 16) store(out + i, load_bf16(row + i));
  }
}

// Calls use(first, columns) for pieces of the first `width` columns of the page, each widened into scratch.
template <class Use>
INLINE void each_piece(const LatentBlock& block, std::size_t width, Use use) {
  for (std::size_t first = 0; first < width; first += latent_piece) {
    const std::size_t columns = width - first < latent_piece ? width - first : latent_piece;
    widen_piece(block, first, columns);
    use(first, columns);
  }
}

// The rate at which the next page comes while this one is used.
template <int Vectors>
Ahead ahead_of(const LatentBlock& block, const AttentionTile* tiles, std::size_t count) {
  const auto parts = [](std::size_t whole, std::size_t part) { return (whole + part - 1) / part; };
  const std::size_t scores = parts(block.tokens, tile_rows) * parts(tiles[0].key_width, ahead_steps);
  const std::size_t sums = parts(tiles[0].value_width, tile_rows) * parts(block.tokens, ahead_steps);
  const std::size_t times = count * tiles[0].lanes / (16 * Vectors) * (scores + sums);
  const std::size_t step = block.tokens * block.stride * sizeof(bf16) / times + 1;
  return {reinterpret_cast<const char*>(block.next), step < ahead_bytes ? step : ahead_bytes};
}

// A piece of the page, once widened, stays in L1 while every tile takes it in.
template <int Vectors>
void latents_of_lanes(AttentionTile* tiles, std::size_t count, const LatentBlock& block) {
  using Tables = MakeTables<tile_rows, Vectors>;
  const std::size_t tokens = block.tokens, lanes = tiles[0].lanes;
  const float* piece = block.scratch;
  const auto scores_of = [&](std::size_t i) { return block.scratch + latent_piece_floats + i * latent_tile_floats; };
  const auto factor_of = [&](std::size_t i) { return scores_of(i) + block_tokens * attention_lanes; };
  Ahead ahead = ahead_of<Vectors>(block, tiles, count);
  each_piece(block, tiles[0].key_width, [&](std::size_t d, std::size_t columns) {
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t l = 0; l < lanes; l += 16 * Vectors) {
        balanced_tiles(tokens, [&](std::size_t t, std::size_t rows) {
          float* scores = scores_of(i) + t * lanes + l;
          Tables::score[rows - 1](piece + t * latent_piece, latent_piece, tiles[i].query + d * lanes + l, columns,
                                  lanes, d ? scores : nullptr, scores, ahead);
        });
      }
    }
  });
  const std::uint32_t first = block.first_position;
  for (std::size_t i = 0; i < count; ++i) {
    const bool masked = any_lane_hides(tiles[i], first, first + static_cast<std::uint32_t>(tokens));
    for (std::size_t l = 0; l < lanes; l += 16) {
      softmax_step(tiles[i], l, tokens, first, masked, scores_of(i), factor_of(i));
    }
  }
  each_piece(block, tiles[0].value_width, [&](std::size_t first_value, std::size_t columns) {
    for (std::size_t i = 0; i < count; ++i) {
      float* output = tiles[i].output + first_value * lanes;
      for (std::size_t l = 0; l < lanes; l += 16 * Vectors) {
        balanced_tiles(columns, [&](std::size_t d, std::size_t rows) {
          Tables::value[rows - 1](piece + d, latent_piece, scores_of(i) + l, tokens, lanes, factor_of(i) + l,
                                  output + d * lanes + l, ahead);
        });
      }
    }
  });
}

// A single tile may have 16 lanes; among several, all have 32 or the last one has 16.
void attention_latents(AttentionTile* tiles, std::size_t count, const LatentBlock& block) {
  const std::size_t wide = count - (tiles[count - 1].lanes == 16 ? 1 : 0);
  if (wide > 0) latents_of_lanes<tile_vectors>(tiles, wide, block);
  if (wide < count) latents_of_lanes<1>(tiles + wide, 1, block);
}

// Adding zero turns -0 into +0: whether masked keys were multiplied in by 0 then cannot show in the sign of a zero.
void attention_end(AttentionTile& tile) {
  const F zero = splat(0.0f);
  for (std::size_t l = 0; l < tile.lanes; l += 16) {
    F sum = load(tile.sum + l);
    F divisor = max(sum, splat(0x1p-126f));  // a visible lane's sum is at least 1
    for (std::size_t d = 0; d < tile.value_width; ++d) {
      float* o = tile.output + d * tile.lanes + l;
      store(o, load(o) / divisor + zero);
    }
  }
}

void lanes_in(const float* in, std::size_t in_stride, std::size_t used, std::size_t width, float scale, float* out,
              std::size_t lanes) {
  for (std::size_t l = 0; l < lanes; l += 16) {
    for (std::size_t w = 0; w < width; w += 16) {
      const std::size_t columns = width - w < 16 ? width - w : 16;
      F rows[16];
      for (std::size_t i = 0; i < 16; ++i) {
        const float* p = in + (l + i) * in_stride + w;
        rows[i] = splat(0.0f);
        if (l + i < used) rows[i] = (columns == 16 ? load(p) : load_part(p, columns, 0)) * splat(scale);
      }
      transpose(rows);
      for (std::size_t i = 0; i < columns; ++i) store(out + (w + i) * lanes + l, rows[i]);
    }
  }
}

void lanes_out(const float* in, std::size_t lanes, std::size_t used, std::size_t width, float* out,
               std::size_t out_stride) {
  for (std::size_t l = 0; l < used; l += 16) {
    for (std::size_t w = 0; w < width; w += 16) {
      const std::size_t columns = width - w < 16 ? width - w : 16;
      F rows[16];
      for (std::size_t i = 0; i < 16; ++i) {
        rows[i] = i < columns ? load(in + (w + i) * lanes + l) : splat(0.0f);
      }
      transpose(rows);
      for (std::size_t i = 0; i < 16 && l + i < used; ++i) {
        float* p = out + (l + i) * out_stride + w;
        if (columns == 16)
          store(p, rows[i]);
        else
          store_part(p, rows[i], columns);
      }
    }
  }
}
