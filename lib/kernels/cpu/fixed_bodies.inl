// Sums of probabilities in whole numbers of 2^-40 (kernels/fixed_point.hpp), and the choice of values, over the sixteen
// lanes F of the including file's instruction set.

// p * 2^40 rounded to nearest, ties to even, as high * 2^20 + low. Adding `rounding`, whose last place is worth 1,
// rounds to an integer that stays in the low bits. p * 2^20 less its rounding is exact, and high * 2^20 is even, so
// that rounding the rest to even rounds the whole to even.
constexpr float rounding = 0x1.8p23f;
constexpr std::uint32_t rounding_bits = 0x4b400000u;
struct FixedParts {
  U high, low;  // both plus rounding_bits
};
INLINE FixedParts fixed_parts(F p) {
  const F step = splat(0x1p20f), whole = splat(rounding);
  const F high = fma(p, step, whole);
  const F rest = fma(p, step, whole - high);
  return {bits(high), bits(fma(rest, step, whole))};
}
INLINE void operator+=(FixedParts& sum, const FixedParts& parts) {
  sum.high = sum.high + parts.high;
  sum.low = sum.low + parts.low;
}
INLINE FixedParts no_parts() { return {splat(0u), splat(0u)}; }

// Vectors whose parts add up in 32 bits: 2^10 of at most 2^20.
constexpr std::size_t fixed_vectors = 1024;

INLINE void store_lanes(U a, std::uint32_t (&lane)[16]) {
  alignas(64) float words[16];
  store(words, floats(a));
  for (int i = 0; i < 16; ++i) lane[i] = __builtin_bit_cast(std::uint32_t, words[i]);
}
// The sum of all lanes; added[lane] parts went into each.
INLINE std::uint64_t total_of(const FixedParts& sum, U added) {
  std::uint32_t high[16], low[16], count[16];
  store_lanes(sum.high, high), store_lanes(sum.low, low), store_lanes(added, count);
  std::uint64_t total = 0;
  for (int i = 0; i < 16; ++i) {
    const std::uint32_t offset = count[i] * rounding_bits;
    total += (static_cast<std::uint64_t>(high[i] - offset) << 20) +
             static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(low[i] - offset)));
  }
  return total;
}

// Sum over n values of to_fixed(value(i, lanes)); lanes is 16, or fewer in the last vector, whose other lanes have to
// be zero.
template <class Value>
INLINE std::uint64_t sum_fixed(std::size_t n, Value value) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < n;) {
    const std::size_t end = n - i < 16 * fixed_vectors ? n : i + 16 * fixed_vectors;
    FixedParts sum = no_parts();
    std::uint32_t vectors = 0;
    for (; i + 16 <= end; i += 16, ++vectors) sum += fixed_parts(value(i, std::size_t{16}));
    if (i < end) sum += fixed_parts(value(i, end - i)), ++vectors, i = end;
    total += total_of(sum, splat(vectors));
  }
  return total;
}

std::uint64_t fixed_sum(const float* p, std::size_t n) {
  return sum_fixed(
      n, [&](std::size_t i, std::size_t lanes) { return lanes == 16 ? load(p + i) : load_part(p + i, lanes, 0.0f); });
}

// exp(x - maximum), with zeros in the lanes that the last vector lacks.
INLINE F exp_of_last(const float* x, std::size_t lanes, float maximum, float scale) {
  alignas(64) float lane[16];
  store(lane, exp_at_most_one((load_part(x, lanes, maximum) - splat(maximum)) * splat(scale)));
  return load_part(lane, lanes, 0.0f);
}
INLINE F exp_of(const float* x, std::size_t lanes, float maximum, float scale) {
  if (lanes < 16) return exp_of_last(x, lanes, maximum, scale);
  __builtin_prefetch(x + row_ahead, 0, 2);
  return exp_at_most_one((load(x) - splat(maximum)) * splat(scale));
}

std::uint64_t fixed_exp_row(const float* x, std::size_t n, float maximum, float scale, float* p) {
  if (!p) return sum_fixed(n, [&](std::size_t i, std::size_t lanes) { return exp_of(x + i, lanes, maximum, scale); });
  return sum_fixed(n, [&](std::size_t i, std::size_t lanes) {
    const F e = exp_of(x + i, lanes, maximum, scale);
    lanes == 16 ? store(p + i, e) : store_part(p + i, e, lanes);
    return e;
  });
}

float fixed_exp_blocks(const float* x, std::size_t n, float maximum, float scale, std::size_t block,
                       std::uint64_t* sums) {
  F total = splat(0.0f);
  for (std::size_t first = 0; first < n; first += block) {
    *sums++ = sum_fixed(n - first < block ? n - first : block, [&](std::size_t i, std::size_t lanes) {
      const F e = exp_of(x + first + i, lanes, maximum, 1.0f);
      total = total + e;
      return scale == 1.0f ? e : exp_of(x + first + i, lanes, maximum, scale);
    });
  }
  return fold_sum(total);
}

FixedShares fixed_exp_above(const float* x, std::size_t n, float maximum, float scale, float threshold) {
  FixedShares shares{0, 0};
  for (std::size_t first = 0; first < n; first += 16 * fixed_vectors) {
    FixedParts above = no_parts();
    U added = splat(0u);
    const std::size_t count = n - first < 16 * fixed_vectors ? n - first : 16 * fixed_vectors;
    shares.all += sum_fixed(count, [&](std::size_t i, std::size_t lanes) {
      const float* from = x + first + i;
      const F e = exp_of(from, lanes, maximum, scale);
      const Mask mask = at_least(lanes == 16 ? load(from) : load_part(from, lanes, -infinity), splat(threshold));
      const FixedParts parts = fixed_parts(e);
      above += {where(mask, parts.high), where(mask, parts.low)};
      added = added + where(mask, splat(1u));
      return e;
    });
    shares.above += total_of(above, added);
  }
  return shares;
}

std::size_t select_between(const float* x, std::size_t n, float low, float high, std::uint32_t first_id,
                           std::uint32_t* ids, float* values) {
  alignas(64) static const std::uint32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  U id = splat(first_id) + load(lane);
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < n; i += 16, id = id + splat(16u)) {
    const F here = n - i < 16 ? load_part(x + i, n - i, infinity) : load(x + i);
    const Mask mask = within(here, splat(low), splat(high));
    store_chosen(ids + chosen, mask, id);
    chosen += store_chosen(values + chosen, mask, here);
  }
  return chosen;
}
