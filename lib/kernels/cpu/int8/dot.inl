// Four products of codes at a time by a dot instruction, dot(sum, weights, row) of the including file, which takes the
// weights' bytes without a sign and the row's with one.

constexpr std::size_t row_words = 1;  // of four inputs of a row

// Sixteen codes, one in each lane.
INLINE void store_codes(U codes, std::uint32_t* out) { store_signed_bytes(out, codes); }

using Int8Weights = U;
INLINE Int8Weights int8_weights(const std::byte* line) { return load(reinterpret_cast<const std::uint32_t*>(line)); }
using Int8Row = U;
INLINE Int8Row int8_row(const std::uint32_t* codes) { return splat(*codes); }
INLINE Int8Sum add_products(const Int8Weights& w, const Int8Row& row, Int8Sum sum) { return dot(sum, w, row); }
