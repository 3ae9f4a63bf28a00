// Pairs of inputs by fused multiply-adds: a row of A is fp32 in the order of the sums, first the even inputs of a
// group, then the odd ones.

using RowValue = float;
constexpr std::size_t pair_row_values = 2;

INLINE void store_row_group(const bf16* in, RowValue* out) {
  const U both = load(reinterpret_cast<const std::uint32_t*>(in));
  store(out, floats(shift_left<16>(both)));
  store(out + 16, floats(both & splat(0xffff0000u)));
}

INLINE void store_row_group(const float* in, RowValue* out) {
  F even, odd;
  split_pairs(load(in), load(in + 16), even, odd);
  store(out, even);
  store(out + 16, odd);
}

// Widening: packed weights that the tile leaves widened in scratch.
enum class Weights { Packed, Widening, Widened };
constexpr Weights decoded_weights = Weights::Widened, shared_weights = Weights::Widening;

// From two row tiles on the first one widens bf16 weights for the others: unpacking takes 4 instructions of a pair
// beside the tile's 4 FMAs a row, and storing what was unpacked takes none that FMAs wait for.
constexpr std::size_t widen_from_rows = tile_rows + 1;
// Rows of a tile that shares widened weights at most: 24 accumulators of 32 are faster than 28.
constexpr int shared_rows = tile_rows < 12 ? tile_rows : 12;
// Groups that are widened or decoded at a time: few enough that their 16 KiB of fp32 stay in the L1 cache.
constexpr std::size_t groups_at_a_time = 4;

// What one step of a pair reads and adds: its upper input, then its lower one.
template <Weights weights>
INLINE F load_weights(const char* w, std::size_t panel_bytes, int step, int vector) {
  if constexpr (weights == Weights::Widened) {
    return load(reinterpret_cast<const float*>(w) + static_cast<std::size_t>(step) * panel_columns + 16 * vector);
  } else {
    const char* p = w + static_cast<std::size_t>(vector / 2) * panel_bytes + vector % 2 * 64;
    const U both = load(reinterpret_cast<const std::uint32_t*>(p));
    return floats(step == 0 ? both & splat(0xffff0000u) : shift_left<16>(both));
  }
}
INLINE void store_widened(F x, char* out, int step, int vector) {
  store(reinterpret_cast<float*>(out) + static_cast<std::size_t>(step) * panel_columns + 16 * vector, x);
}
INLINE F multiply_add(F row, F weights, F sum) { return fma(row, weights, sum); }

// A decoded pair in registers.
using Decoded = PairValues;
template <class Pair>
INLINE Decoded decoded(const Pair& pair) {
  return values_of(pair);
}
INLINE F add_decoded(const RowValue* row, const Decoded& x, int vector, F sum) {
  return fma(splat(row[1]), x.lower[vector], fma(splat(row[0]), x.upper[vector], sum));
}
INLINE void store_decoded(const Decoded& x, std::byte* out) {
  for (int v = 0; v < 2; ++v) {
    store(reinterpret_cast<float*>(out) + 16 * v, x.upper[v]);
    store(reinterpret_cast<float*>(out) + panel_columns + 16 * v, x.lower[v]);
  }
}
