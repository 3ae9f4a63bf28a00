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
  for (std::size_t i = 0; i < group_inputs; ++i) out[i % 2 * 16 + i / 2] = in[i];
}

enum class Weights { Packed, Widened };
constexpr Weights decoded_weights = Weights::Widened;

// From this many rows on bf16 weights are widened once into scratch instead of again in every row tile. Tiles of 14
// rows never need it: unpacking costs them 4 instructions beside 56, and widened weights come from the L2 cache.
constexpr std::size_t widen_from_rows = tile_rows > 8 ? ~std::size_t{0} : 80;
// Groups that are widened or decoded at a time: few enough that their 16 KiB of fp32 stay in the L1 cache, or all of a
// block where so many rows share them that going over C less often is worth more.
std::size_t groups_at_a_time(std::size_t rows) { return rows < 64 ? 4 : block_inputs / group_inputs; }

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
