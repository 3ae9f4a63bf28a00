// Four products of codes by instructions that multiply words and add pairs of products, madd(weights, row) of the
// including file: bytes become words, those of even inputs and those of odd ones. A byte multiplication with saturating
// sums would be half the work and wrong. The including file has store_codes, too.

constexpr std::size_t row_words = 2;  // of four inputs of a row: 0 and 2, 1 and 3

struct Int8Weights {
  U even, odd;
};
INLINE Int8Weights int8_weights(const std::byte* line) {
  const U codes = load(reinterpret_cast<const std::uint32_t*>(line));
  return {codes & splat(0x00ff00ffu), shift_words_right_8(codes)};
}
struct Int8Row {
  U even, odd;
};
INLINE Int8Row int8_row(const std::uint32_t* codes) { return {splat(codes[0]), splat(codes[1])}; }
INLINE Int8Sum add_products(const Int8Weights& w, const Int8Row& row, Int8Sum sum) {
  return add(sum, madd(w.even, row.even) + madd(w.odd, row.odd));
}
