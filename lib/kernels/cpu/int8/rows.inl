// Quantising rows of A (kernels/int8.hpp) over the sixteen lanes F and U, and over the including file's row_words,
// 32-bit words of four inputs, and store_codes.

// A row of A in a K block. Rows begin at cache lines, and do not share cache sets.
struct alignas(64) Int8PackedRow {
  std::uint32_t codes[block_inputs / 4 * row_words];
  float scales[int8_block_groups];
  // Minus int8_bias times the sum of a group's codes: what the weights' bias adds. A group's sum starts from it.
  std::int32_t starts[int8_block_groups];
};
static_assert(sizeof(Int8PackedRow) % 128 != 0);
static_assert(int8_group % int8_step == 0 && block_inputs % int8_group == 0);

INLINE F load_values(const bf16* p) { return load_bf16(p); }
INLINE F load_values(const float* p) { return load(p); }

INLINE std::uint32_t fold_largest(U a) {
  a = larger(a, bits(swap_lanes<8>(floats(a))));
  a = larger(a, bits(swap_lanes<4>(floats(a))));
  a = larger(a, bits(swap_lanes<2>(floats(a))));
  a = larger(a, bits(swap_lanes<1>(floats(a))));
  return __builtin_bit_cast(std::uint32_t, first_lane(floats(a)));
}
INLINE std::uint32_t fold_total(U a) {
  a = a + bits(swap_lanes<8>(floats(a)));
  a = a + bits(swap_lanes<4>(floats(a)));
  a = a + bits(swap_lanes<2>(floats(a)));
  a = a + bits(swap_lanes<1>(floats(a)));
  return __builtin_bit_cast(std::uint32_t, first_lane(floats(a)));
}

struct QuantizedGroup {
  float scale;
  std::int32_t total;  // of the codes
};

// A full group of values; store(i, codes) takes the codes of values 16 * i to 16 * i + 15.
template <class T, class Store>
INLINE QuantizedGroup quantize(const T* in, Store store_codes_at) {
  constexpr int vectors = int8_group / 16;
  U magnitudes = splat(0u);
#pragma GCC unroll 8
  for (int i = 0; i < vectors; ++i) {
    magnitudes = larger(magnitudes, bits(load_values(in + 16 * i)) & splat(0x7fffffffu));
  }
  const std::uint32_t largest_bits = fold_largest(magnitudes);
  const float largest = __builtin_bit_cast(float, largest_bits);
  const bool finite = largest_bits < 0x7f800000u;
  const float scale = finite ? largest / 127 : __builtin_bit_cast(float, int8_nan_bits);
  if (!(scale > 0)) {
    for (int i = 0; i < vectors; ++i) store_codes_at(i, splat(0u));
    return {scale, 0};
  }
  const F inverse = splat(127 / largest);
  U total = splat(0u);
#pragma GCC unroll 8
  for (int i = 0; i < vectors; ++i) {
    const U codes = nearest(load_values(in + 16 * i) * inverse);
    total = total + codes;
    store_codes_at(i, codes);
  }
  return {scale, static_cast<std::int32_t>(fold_total(total))};
}

template <class T>
void int8_pack_row(const T* in, std::size_t inputs, std::byte* out) {
  auto& row = *reinterpret_cast<Int8PackedRow*>(out);
  for (std::size_t first = 0; first < inputs; first += int8_group) {
    const T* values = in + first;
    T last[int8_group];
    if (inputs - first < int8_group) {
      for (std::size_t i = 0; i < int8_group; ++i) last[i] = first + i < inputs ? values[i] : T{};
      values = last;
    }
    std::uint32_t* codes = row.codes + first / 4 * row_words;
    const QuantizedGroup group = quantize(
        values, [&](int i, U sixteen) { store_codes(sixteen, codes + 4 * static_cast<std::size_t>(i) * row_words); });
    row.scales[first / int8_group] = group.scale;
    row.starts[first / int8_group] = -int8_bias * group.total;
  }
}
