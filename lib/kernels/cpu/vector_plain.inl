// Sixteen fp32 lanes in plain C++: the definition of every row and attention kernel. Included by bodies_plain.cpp only.

struct F {
  float lane[16];
};
struct U {
  std::uint32_t lane[16];
};

template <class Out, class Function>
INLINE Out each(Function function) {
  Out out;
  for (int i = 0; i < 16; ++i) out.lane[i] = function(i);
  return out;
}

INLINE F load(const float* p) {
  return each<F>([&](int i) { return p[i]; });
}
INLINE void store(float* p, F a) {
  for (int i = 0; i < 16; ++i) p[i] = a.lane[i];
}
INLINE F splat(float x) {
  return each<F>([&](int) { return x; });
}
INLINE F operator+(F a, F b) {
  return each<F>([&](int i) { return a.lane[i] + b.lane[i]; });
}
INLINE F operator-(F a, F b) {
  return each<F>([&](int i) { return a.lane[i] - b.lane[i]; });
}
INLINE F operator*(F a, F b) {
  return each<F>([&](int i) { return a.lane[i] * b.lane[i]; });
}
INLINE F operator/(F a, F b) {
  return each<F>([&](int i) { return a.lane[i] / b.lane[i]; });
}
INLINE F fma(F a, F b, F c) {
  return each<F>([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
// The second operand when they are equal or one is NaN, as the vector instructions do.
INLINE F max(F a, F b) {
  return each<F>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
INLINE F min(F a, F b) {
  return each<F>([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}

INLINE U bits(F a) {
  return each<U>([&](int i) { return __builtin_bit_cast(std::uint32_t, a.lane[i]); });
}
INLINE F floats(U a) {
  return each<F>([&](int i) { return __builtin_bit_cast(float, a.lane[i]); });
}
INLINE U load(const std::uint32_t* p) {
  return each<U>([&](int i) { return p[i]; });
}
INLINE U splat(std::uint32_t x) {
  return each<U>([&](int) { return x; });
}
INLINE U operator+(U a, U b) {
  return each<U>([&](int i) { return a.lane[i] + b.lane[i]; });
}
INLINE U operator-(U a, U b) {
  return each<U>([&](int i) { return a.lane[i] - b.lane[i]; });
}
INLINE U operator&(U a, U b) {
  return each<U>([&](int i) { return a.lane[i] & b.lane[i]; });
}
template <int Count>
INLINE U shift_left(U a) {
  return each<U>([&](int i) { return a.lane[i] << Count; });
}
template <int Count>
INLINE U shift_right_signed(U a) {
  return each<U>([&](int i) { return static_cast<std::uint32_t>(static_cast<std::int32_t>(a.lane[i]) >> Count); });
}
// `a` in lanes where first <= position <= last, else `other`.
INLINE F where_within(U position, U first, U last, F a, F other) {
  return each<F>([&](int i) {
    return first.lane[i] <= position.lane[i] && position.lane[i] <= last.lane[i] ? a.lane[i] : other.lane[i];
  });
}

INLINE F load_bf16(const bf16* p) {
  return each<F>([&](int i) { return __builtin_bit_cast(float, static_cast<std::uint32_t>(p[i].bits) << 16); });
}
INLINE void store_bf16(bf16* p, F a) {
  U u = bits(a);
  for (int i = 0; i < 16; ++i) {
    std::uint32_t x = u.lane[i];
    bool nan = (x & 0x7fffffffu) > 0x7f800000u;
    p[i].bits = static_cast<std::uint16_t>(nan ? (x >> 16) | 0x40u : (x + 0x7fffu + ((x >> 16) & 1u)) >> 16);
  }
}
INLINE F round_bf16(F a) {
  bf16 rounded[16];
  store_bf16(rounded, a);
  return load_bf16(rounded);
}

// [a0 b0 a1 b1 ...] -> [b0 a0 b1 a1 ...]
INLINE F swap_pairs(F a) {
  return each<F>([&](int i) { return a.lane[i ^ 1]; });
}
// p[0..8) with each value twice
INLINE F load_doubled(const float* p) {
  return each<F>([&](int i) { return p[i / 2]; });
}
INLINE void transpose(F (&rows)[16]) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < i; ++j) {
      float upper = rows[j].lane[i];
      rows[j].lane[i] = rows[i].lane[j];
      rows[i].lane[j] = upper;
    }
  }
}

// Lane i gets lane i ^ distance.
template <int distance>
INLINE F swap_lanes(F a) {
  return each<F>([&](int i) { return a.lane[i ^ distance]; });
}
INLINE float first_lane(F a) { return a.lane[0]; }

// Lanes that a comparison chose.
struct Mask {
  bool lane[16];
};
INLINE Mask at_least(F a, F b) {
  return each<Mask>([&](int i) { return a.lane[i] >= b.lane[i]; });
}
INLINE Mask within(F a, F low, F high) {  // low <= a < high
  return each<Mask>([&](int i) { return low.lane[i] <= a.lane[i] && a.lane[i] < high.lane[i]; });
}
// Zero in the other lanes.
INLINE U where(Mask mask, U a) {
  return each<U>([&](int i) { return mask.lane[i] ? a.lane[i] : 0u; });
}
// Stores the lanes of the mask one behind the other, returns how many they are, and may write all of p[0..16).
template <class T, class Lanes>
INLINE std::size_t store_chosen(T* p, Mask mask, Lanes a) {
  std::size_t n = 0;
  for (int i = 0; i < 16; ++i) {
    if (mask.lane[i]) p[n++] = a.lane[i];
  }
  return n;
}

// Nothing to keep in order: the compiler has no registers to run out of.
template <class T>
INLINE void load_after(const T*&, F&) {}

constexpr int tile_rows = 4;       // of a register tile
constexpr int tile_vectors = 1;    // sixteens of columns or lanes of a register tile
constexpr int widest_product = 1;  // sixteens side by side when rows are few
