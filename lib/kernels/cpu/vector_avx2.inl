// Sixteen fp32 lanes as two AVX2 registers. Included by vector files compiled for AVX2 only.

struct F {
  __m256 low, high;
};
struct U {
  __m256i low, high;
};

INLINE F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INLINE void store(float* p, F a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
INLINE F splat(float x) {
  __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
INLINE F operator+(F a, F b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
INLINE F operator-(F a, F b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
INLINE F operator*(F a, F b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
INLINE F operator/(F a, F b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
INLINE F fma(F a, F b, F c) { return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)}; }
INLINE F max(F a, F b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
INLINE F min(F a, F b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }

INLINE __m256i load_words(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
INLINE U bits(F a) { return {_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)}; }
INLINE F floats(U a) { return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)}; }
INLINE U load(const std::uint32_t* p) { return {load_words(p), load_words(p + 8)}; }
INLINE void store_bits(void* p, U a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), a.low);
  _mm256_storeu_si256(static_cast<__m256i*>(p) + 1, a.high);
}
INLINE U splat(std::uint32_t x) {
  __m256i v = _mm256_set1_epi32(static_cast<int>(x));
  return {v, v};
}
INLINE U operator+(U a, U b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
INLINE U operator-(U a, U b) { return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)}; }
INLINE U operator&(U a, U b) { return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)}; }
template <int Count>
INLINE U shift_left(U a) {
  return {_mm256_slli_epi32(a.low, Count), _mm256_slli_epi32(a.high, Count)};
}
template <int Count>
INLINE U shift_right_signed(U a) {
  return {_mm256_srai_epi32(a.low, Count), _mm256_srai_epi32(a.high, Count)};
}
template <int Count>
INLINE U shift_right(U a) {
  return {_mm256_srli_epi32(a.low, Count), _mm256_srli_epi32(a.high, Count)};
}
INLINE U operator|(U a, U b) { return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)}; }

INLINE U larger(U a, U b) { return {_mm256_max_epu32(a.low, b.low), _mm256_max_epu32(a.high, b.high)}; }
// Integers: those nearest to fp32 values, of two the even one, and as fp32.
INLINE U nearest(F a) { return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)}; }
INLINE F to_floats(U a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
// Lanes of -128 .. 127 as bytes.
INLINE void store_signed_bytes(void* p, U a) {
  const __m256i words = _mm256_packs_epi32(a.low, a.high);  // of lanes 0 .. 3, 8 .. 11; 4 .. 7, 12 .. 15
  const __m256i bytes = _mm256_packs_epi16(words, words);   // the same, twice
  const __m256i fours = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5));
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_castsi256_si128(fours));
}

// Sixty-four bytes or thirty-two words, in four quarters that shuffles and unpacking do not leave.
INLINE U load_quarters(const std::uint8_t* p) {
  __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {v, v};
}
INLINE U shuffle_bytes(U table, U index) {
  return {_mm256_shuffle_epi8(table.low, index.low), _mm256_shuffle_epi8(table.high, index.high)};
}
INLINE U unpack_low(U a, U b) { return {_mm256_unpacklo_epi8(a.low, b.low), _mm256_unpacklo_epi8(a.high, b.high)}; }
INLINE U unpack_high(U a, U b) { return {_mm256_unpackhi_epi8(a.low, b.low), _mm256_unpackhi_epi8(a.high, b.high)}; }
INLINE U add_bytes(U a, U b) { return {_mm256_add_epi8(a.low, b.low), _mm256_add_epi8(a.high, b.high)}; }
// Bytes below 128 look up `small` where they are below 8, else `table`, by their lower four bits. Both halves of
// `small` are the same. A shuffle gives zero for an index with its top bit set.
INLINE __m256i look_up(__m256i index, __m256i small, __m256i table) {
  __m256i below_8 = _mm256_cmpgt_epi8(_mm256_set1_epi8(8), index);
  __m256i from_small = _mm256_shuffle_epi8(small, _mm256_adds_epu8(index, _mm256_set1_epi8(0x78)));
  return _mm256_or_si256(from_small, _mm256_shuffle_epi8(table, _mm256_or_si256(index, below_8)));
}
INLINE U look_up(U index, U small, U table) {
  return {look_up(index.low, small.low, table.low), look_up(index.high, small.high, table.high)};
}
INLINE U shift_words_right_4(U a) { return {_mm256_srai_epi16(a.low, 4), _mm256_srai_epi16(a.high, 4)}; }
INLINE U load_bytes(const std::uint8_t* p) {
  __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(v), _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8))};
}

INLINE __m256 where_within(__m256i position, __m256i first, __m256i last, __m256 a, __m256 other) {
  __m256i from = _mm256_cmpeq_epi32(_mm256_max_epu32(position, first), position);
  __m256i to = _mm256_cmpeq_epi32(_mm256_min_epu32(position, last), position);
  return _mm256_blendv_ps(other, a, _mm256_castsi256_ps(_mm256_and_si256(from, to)));
}
INLINE F where_within(U position, U first, U last, F a, F other) {
  return {where_within(position.low, first.low, last.low, a.low, other.low),
          where_within(position.high, first.high, last.high, a.high, other.high)};
}

INLINE __m256 load_8_bf16(const bf16* p) {
  __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
INLINE F load_bf16(const bf16* p) { return {load_8_bf16(p), load_8_bf16(p + 8)}; }
INLINE __m256i rounded_bits(__m256 a) {
  __m256i u = _mm256_castps_si256(a);
  __m256i high = _mm256_srli_epi32(u, 16);
  __m256i tie = _mm256_and_si256(high, _mm256_set1_epi32(1));
  __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), tie), 16);
  __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  return _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
}
INLINE void store_bf16(bf16* p, F a) {
  __m256i packed = _mm256_packus_epi32(rounded_bits(a.low), rounded_bits(a.high));  // within halves: l0 h0 l1 h1
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
INLINE F round_bf16(F a) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(rounded_bits(a.low), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(rounded_bits(a.high), 16))};
}

INLINE F swap_pairs(F a) { return {_mm256_permute_ps(a.low, 0xb1), _mm256_permute_ps(a.high, 0xb1)}; }
// [a0 a1 ..] and [b0 b1 ..] -> values at even places of both, and at odd ones
template <int odd>
INLINE __m256 every_second(__m256 a, __m256 b) {
  const __m256 mixed = _mm256_shuffle_ps(a, b, odd ? 0xdd : 0x88);  // in each half of 4, two of a and two of b
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
}
INLINE void split_pairs(F a, F b, F& even, F& odd) {
  even = {every_second<0>(a.low, a.high), every_second<0>(b.low, b.high)};
  odd = {every_second<1>(a.low, a.high), every_second<1>(b.low, b.high)};
}
INLINE F load_doubled(const float* p) {
  __m256 v = _mm256_loadu_ps(p);
  return {_mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
          _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
}

INLINE void transpose_8(__m256 (&r)[8]) {
  __m256 t[8], s[8];
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    s[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    s[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    s[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    s[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x31);
  }
}
INLINE void transpose(F (&rows)[16]) {
  __m256 a[8], b[8], c[8], d[8];  // quarters: [a b; c d]
  for (int i = 0; i < 8; ++i) {
    a[i] = rows[i].low;
    b[i] = rows[i].high;
    c[i] = rows[i + 8].low;
    d[i] = rows[i + 8].high;
  }
  transpose_8(a);
  transpose_8(b);
  transpose_8(c);
  transpose_8(d);
  for (int i = 0; i < 8; ++i) {
    rows[i] = {a[i], c[i]};
    rows[i + 8] = {b[i], d[i]};
  }
}

template <int distance>
INLINE F swap_lanes(F a) {
  if constexpr (distance == 8) return {a.high, a.low};
  if constexpr (distance == 4) {
    return {_mm256_permute2f128_ps(a.low, a.low, 1), _mm256_permute2f128_ps(a.high, a.high, 1)};
  }
  constexpr int order = distance == 2 ? 0x4e : 0xb1;
  return {_mm256_permute_ps(a.low, order), _mm256_permute_ps(a.high, order)};
}
INLINE float first_lane(F a) { return _mm256_cvtss_f32(a.low); }

// Lanes that a comparison chose; low <= a < high in the second.
struct Mask {
  __m256 low, high;
};
INLINE Mask at_least(F a, F b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_GE_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_GE_OQ)};
}
INLINE Mask within(F a, F low, F high) {
  const Mask from = at_least(a, low);
  return {_mm256_and_ps(from.low, _mm256_cmp_ps(a.low, high.low, _CMP_LT_OQ)),
          _mm256_and_ps(from.high, _mm256_cmp_ps(a.high, high.high, _CMP_LT_OQ))};
}
INLINE U where(Mask mask, U a) {
  return {_mm256_and_si256(_mm256_castps_si256(mask.low), a.low),
          _mm256_and_si256(_mm256_castps_si256(mask.high), a.high)};
}

// lanes[chosen][i]: which of eight lanes is the i-th of those whose bit is set.
struct ChosenLanes {
  std::uint8_t lanes[256][8];
};
constexpr ChosenLanes make_chosen_lanes() {
  ChosenLanes out{};
  for (unsigned chosen = 0; chosen < 256; ++chosen) {
    unsigned n = 0;
    for (unsigned lane = 0; lane < 8; ++lane) {
      if (chosen >> lane & 1) out.lanes[chosen][n++] = static_cast<std::uint8_t>(lane);
    }
  }
  return out;
}
alignas(64) constexpr ChosenLanes chosen_lanes = make_chosen_lanes();
INLINE std::size_t store_chosen(void* p, __m256 mask, __m256i a) {
  const int chosen = _mm256_movemask_ps(mask);
  const auto* lanes = reinterpret_cast<const __m128i*>(chosen_lanes.lanes[chosen]);
  const __m256i order = _mm256_cvtepu8_epi32(_mm_loadl_epi64(lanes));
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(a, order));
  return static_cast<std::size_t>(__builtin_popcount(static_cast<unsigned>(chosen)));
}
// Stores the lanes of the mask one behind the other, returns how many they are, and may write all of p[0..16).
INLINE std::size_t store_chosen(std::uint32_t* p, Mask mask, U a) {
  const std::size_t n = store_chosen(p, mask.low, a.low);
  return n + store_chosen(p + n, mask.high, a.high);
}
INLINE std::size_t store_chosen(float* p, Mask mask, F a) {
  const U words = bits(a);
  const std::size_t n = store_chosen(p, mask.low, words.low);
  return n + store_chosen(p + n, mask.high, words.high);
}

// Keeps loads from p behind the work on `a` in the compiled order: hoisted, they would need more than the 16 registers
// and push accumulators to the stack.
template <class T>
INLINE void load_after(const T*& p, F& a) {
  asm volatile("" : "+r"(p), "+x"(a.low), "+x"(a.high));
}

constexpr int tile_rows = 6;  // 12 accumulators of the 16 registers
constexpr int tile_vectors = 1;
constexpr int widest_product = 2;
// Panels side by side for 1 and 2 rows: 8 accumulators.
constexpr int one_row_panels = 2;
constexpr int two_row_panels = 1;
