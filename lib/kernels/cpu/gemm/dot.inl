// Pairs of inputs by a dot instruction, which adds the product of the upper halves and then that of the lower ones: a
// row of A is bf16 in the pairs of the weights.

using RowValue = std::uint32_t;
constexpr std::size_t pair_row_values = 1;

INLINE void store_row_group(const bf16* in, RowValue* out) {
  // The inputs in the order of the pairs' words, the lower word first.
  alignas(64) static constexpr std::uint16_t inputs[32] = {2, 0, 6, 4, 10, 8, 14, 12, 18, 16, 22, 20, 26, 24, 30, 28,
                                                           3, 1, 7, 5, 11, 9, 15, 13, 19, 17, 23, 21, 27, 25, 31, 29};
  _mm512_storeu_si512(out, _mm512_permutexvar_epi16(_mm512_load_si512(inputs), _mm512_loadu_si512(in)));
}

enum class Weights { Packed, Widening, Widened };
constexpr Weights decoded_weights = Weights::Packed, shared_weights = Weights::Packed;

constexpr std::size_t widen_from_rows = ~std::size_t{0};  // never: bf16 weights are read as they are
constexpr int shared_rows = tile_rows;
// Groups that are decoded at a time: their 16 KiB of bf16 stay in the L1 cache.
constexpr std::size_t groups_at_a_time = 8;

template <Weights>
INLINE U load_weights(const char* w, std::size_t panel_bytes, int, int vector) {
  return load(
      reinterpret_cast<const std::uint32_t*>(w + static_cast<std::size_t>(vector / 2) * panel_bytes + vector % 2 * 64));
}
INLINE void store_widened(U, char*, int, int) {}
INLINE F multiply_add(U row, U weights, F sum) {
  return {_mm512_dpbf16_ps(sum.v, (__m512bh)row.v, (__m512bh)weights.v)};
}

// A decoded pair in registers.
using Decoded = PairBits;
template <class Pair>
INLINE Decoded decoded(const Pair& pair) {
  return bits_of(pair);
}
INLINE F add_decoded(const RowValue* row, const Decoded& x, int vector, F sum) {
  return multiply_add(splat(*row), x.columns[vector], sum);
}
INLINE void store_decoded(const Decoded& x, std::byte* out) {
  for (int v = 0; v < 2; ++v) store_bits(out + 64 * v, x.columns[v]);
}
