// Sixteen fp32 lanes as one AVX-512 register. Included by vector files compiled for AVX-512 only.

struct F {
  __m512 v;
};
struct U {
  __m512i v;
};

INLINE F load(const float* p) { return {_mm512_loadu_ps(p)}; }
INLINE void store(float* p, F a) { _mm512_storeu_ps(p, a.v); }
INLINE F splat(float x) { return {_mm512_set1_ps(x)}; }
INLINE F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
INLINE F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
INLINE F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
INLINE F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
INLINE F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
INLINE F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
INLINE F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }

INLINE U bits(F a) { return {_mm512_castps_si512(a.v)}; }
INLINE F floats(U a) { return {_mm512_castsi512_ps(a.v)}; }
INLINE U load(const std::uint32_t* p) { return {_mm512_loadu_si512(p)}; }
INLINE void store_bits(void* p, U a) { _mm512_storeu_si512(p, a.v); }
INLINE U splat(std::uint32_t x) { return {_mm512_set1_epi32(static_cast<int>(x))}; }
INLINE U operator+(U a, U b) { return {_mm512_add_epi32(a.v, b.v)}; }
INLINE U operator-(U a, U b) { return {_mm512_sub_epi32(a.v, b.v)}; }
INLINE U operator&(U a, U b) { return {_mm512_and_si512(a.v, b.v)}; }
template <int Count>
INLINE U shift_left(U a) {
  return {_mm512_slli_epi32(a.v, Count)};
}
template <int Count>
INLINE U shift_right_signed(U a) {
  return {_mm512_srai_epi32(a.v, Count)};
}
template <int Count>
INLINE U shift_right(U a) {
  return {_mm512_srli_epi32(a.v, Count)};
}
INLINE U operator|(U a, U b) { return {_mm512_or_si512(a.v, b.v)}; }

INLINE U larger(U a, U b) { return {_mm512_max_epu32(a.v, b.v)}; }
// Integers: those nearest to fp32 values, of two the even one, and as fp32.
INLINE U nearest(F a) { return {_mm512_cvtps_epi32(a.v)}; }
INLINE F to_floats(U a) { return {_mm512_cvtepi32_ps(a.v)}; }
// Lanes of -128 .. 127 as bytes.
INLINE void store_signed_bytes(void* p, U a) { _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v)); }

// Sixty-four bytes or thirty-two words, in four quarters that shuffles and unpacking do not leave.
INLINE U load_quarters(const std::uint8_t* p) {
  return {_mm512_maskz_broadcast_i32x4(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
INLINE U shuffle_bytes(U table, U index) { return {_mm512_shuffle_epi8(table.v, index.v)}; }
INLINE U unpack_low(U a, U b) { return {_mm512_unpacklo_epi8(a.v, b.v)}; }
INLINE U unpack_high(U a, U b) { return {_mm512_unpackhi_epi8(a.v, b.v)}; }
INLINE U add_bytes(U a, U b) { return {_mm512_add_epi8(a.v, b.v)}; }
// Bytes below 128 look up `small` where they are below 8, else `table`, by their lower four bits. Both halves of
// `small` are the same.
INLINE U look_up(U index, U small, U table) {
  __mmask64 below_8 = _mm512_testn_epi8_mask(index.v, _mm512_set1_epi8(0x78));
  return {_mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(table.v, index.v), below_8, small.v, index.v)};
}
INLINE U shift_words_right_4(U a) { return {_mm512_srai_epi16(a.v, 4)}; }
INLINE U load_bytes(const std::uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}

INLINE F where_within(U position, U first, U last, F a, F other) {
  __mmask16 from = _mm512_cmple_epu32_mask(first.v, position.v);
  return {_mm512_mask_blend_ps(_mm512_mask_cmple_epu32_mask(from, position.v, last.v), other.v, a.v)};
}

INLINE F load_bf16(const bf16* p) {
  __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}
// The bits of bf16, each in the lower half of a lane.
INLINE __m512i rounded_bits(F a) {
  __m512i u = _mm512_castps_si512(a.v);
  __m512i high = _mm512_srli_epi32(u, 16);
  __m512i tie = _mm512_and_si512(high, _mm512_set1_epi32(1));
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), tie), 16);
  __m512i quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
  return _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), rounded, quiet);
}
INLINE void store_bf16(bf16* p, F a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded_bits(a)));
}
INLINE F round_bf16(F a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(rounded_bits(a), 16))}; }

INLINE F swap_pairs(F a) { return {_mm512_permute_ps(a.v, 0xb1)}; }
// [a0 a1 ..] and [b0 b1 ..] -> values at even places of both, and at odd ones
INLINE void split_pairs(F a, F b, F& even, F& odd) {
  const __m512i first = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  even.v = _mm512_permutex2var_ps(a.v, first, b.v);
  odd.v = _mm512_permutex2var_ps(a.v, _mm512_add_epi32(first, _mm512_set1_epi32(1)), b.v);
}
INLINE F load_doubled(const float* p) {
  __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return {_mm512_permutexvar_ps(index, _mm512_castps256_ps512(_mm256_loadu_ps(p)))};
}
INLINE void transpose(F (&rows)[16]) {
  __m512 t[16], s[16];
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_ps(rows[2 * i].v, rows[2 * i + 1].v);
    t[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i].v, rows[2 * i + 1].v);
  }
  // s[4g + j]: quarter q holds column 4q + j of rows 4g .. 4g + 3.
  for (int g = 0; g < 4; ++g) {
    s[4 * g] = _mm512_shuffle_ps(t[4 * g], t[4 * g + 2], 0x44);
    s[4 * g + 1] = _mm512_shuffle_ps(t[4 * g], t[4 * g + 2], 0xee);
    s[4 * g + 2] = _mm512_shuffle_ps(t[4 * g + 1], t[4 * g + 3], 0x44);
    s[4 * g + 3] = _mm512_shuffle_ps(t[4 * g + 1], t[4 * g + 3], 0xee);
  }
  for (int j = 0; j < 4; ++j) {
    __m512 low01 = _mm512_shuffle_f32x4(s[j], s[4 + j], 0x44), high01 = _mm512_shuffle_f32x4(s[j], s[4 + j], 0xee);
    __m512 low23 = _mm512_shuffle_f32x4(s[8 + j], s[12 + j], 0x44);
    __m512 high23 = _mm512_shuffle_f32x4(s[8 + j], s[12 + j], 0xee);
    rows[j].v = _mm512_shuffle_f32x4(low01, low23, 0x88);
    rows[4 + j].v = _mm512_shuffle_f32x4(low01, low23, 0xdd);
    rows[8 + j].v = _mm512_shuffle_f32x4(high01, high23, 0x88);
    rows[12 + j].v = _mm512_shuffle_f32x4(high01, high23, 0xdd);
  }
}

template <int distance>
INLINE F swap_lanes(F a) {
  if constexpr (distance >= 4) return {_mm512_shuffle_f32x4(a.v, a.v, distance == 8 ? 0x4e : 0xb1)};
  return {_mm512_permute_ps(a.v, distance == 2 ? 0x4e : 0xb1)};
}
INLINE float first_lane(F a) { return _mm512_cvtss_f32(a.v); }

// Lanes that a comparison chose; low <= a < high in the second.
struct Mask {
  __mmask16 v;
};
INLINE Mask at_least(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
INLINE Mask within(F a, F low, F high) {
  return {_mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(a.v, low.v, _CMP_GE_OQ), a.v, high.v, _CMP_LT_OQ)};
}
INLINE U where(Mask mask, U a) { return {_mm512_maskz_mov_epi32(mask.v, a.v)}; }
// Compressing into memory is slow on Zen 4, into a register it is not.
INLINE std::size_t store_chosen(float* p, Mask mask, F a) {
  _mm512_storeu_ps(p, _mm512_maskz_compress_ps(mask.v, a.v));
  return static_cast<std::size_t>(__builtin_popcount(mask.v));
}
INLINE std::size_t store_chosen(std::uint32_t* p, Mask mask, U a) {
  _mm512_storeu_si512(p, _mm512_maskz_compress_epi32(mask.v, a.v));
  return static_cast<std::size_t>(__builtin_popcount(mask.v));
}

// Nothing to keep in order: there are registers enough to load ahead.
template <class T>
INLINE void load_after(const T*&, F&) {}

constexpr int tile_rows = 14;  // 28 accumulators of the 32 registers
constexpr int tile_vectors = 2;
constexpr int widest_product = 4;
// Panels side by side for 1 and 2 rows: 8 accumulators. More at a time are slower where weights come from memory.
constexpr int one_row_panels = 4;
constexpr int two_row_panels = 2;
