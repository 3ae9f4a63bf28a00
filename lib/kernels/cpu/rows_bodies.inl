// Row kernels and the fp32 exp over the sixteen lanes F of the including file's instruction set.

constexpr float infinity = __builtin_inff();

// n < 16 values, the other lanes filled; and back without touching what lies behind them.
INLINE F load_part(const float* p, std::size_t n, float fill) {
  alignas(64) float lane[16];
  for (std::size_t i = 0; i < 16; ++i) lane[i] = i < n ? p[i] : fill;
  return load(lane);
}
INLINE void store_part(float* p, F a, std::size_t n) {
  alignas(64) float lane[16];
  store(lane, a);
  for (std::size_t i = 0; i < n; ++i) p[i] = lane[i];
}
INLINE F load_bf16_part(const bf16* p, std::size_t n) {
  bf16 lane[16];
  for (std::size_t i = 0; i < 16; ++i) lane[i].bits = i < n ? p[i].bits : std::uint16_t{0};
  return load_bf16(lane);
}
INLINE void store_bf16_part(bf16* p, F a, std::size_t n) {
  bf16 lane[16];
  store_bf16(lane, a);
  for (std::size_t i = 0; i < n; ++i) p[i].bits = lane[i].bits;
}

// The fixed tree: lane l holds elements l, l + 16, ...; then lanes fold 8, 4, 2, 1.
INLINE float fold_sum(F a) {
  alignas(64) float lane[16];
  store(lane, a);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lane[i] = lane[i] + lane[i + half];
  }
  return lane[0];
}
INLINE float fold_max(F a) {
  alignas(64) float lane[16];
  store(lane, a);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
  }
  return lane[0];
}

// e^x = 2^n (1 + r + r^2 P(r)) with x = n ln2 + r, |r| <= ln2 / 2, and P fitted for the least relative error (3e-9 on
// the range). Adding `magic`, a multiple of 1 from 1.5 * 2^23 on, rounds to an integer, which stays in the low bits.
struct Power {
  F fraction;  // 1 + r + r^2 P(r)
  F shifted;   // n + magic
};
INLINE Power power_of_e(F x, F magic) {
  const F shifted = fma(x, splat(0x1.715476p+0f), magic);
  const F n = shifted - magic;
  F r = fma(n, splat(-0x1.62e4p-1f), x);  // upper 15 bits of ln2: the product is exact
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  F p = fma(splat(0x1.6a21acp-10f), r, splat(0x1.123b6ap-7f));
  p = fma(p, r, splat(0x1.5558fap-5f));
  p = fma(p, r, splat(0x1.555490p-3f));
  p = fma(p, r, splat(0x1.fffffcp-2f));
  return {fma(p, r * r, r) + splat(1.0f), shifted};
}

// e^x within 2 ulp, times 2^n in two exact steps, so that results below the normal range round once. Overflows to
// infinity, ends in zero, keeps NaN; e^0 is 1.
INLINE F exp(F x) {
  x = min(splat(89.0f), max(splat(-105.0f), x));  // operands in this order keep NaN
  const F magic = splat(0x1.8p23f);
  const Power power = power_of_e(x, magic);
  const U whole = bits(power.shifted) - bits(magic);
  const U half = shift_right_signed<1>(whole);
  const U bias = splat(std::uint32_t{127});
  return power.fraction * floats(shift_left<23>(half + bias)) * floats(shift_left<23>(whole - half + bias));
}

// exp(x), to the bit, where x is at most 0 or NaN: results that reach the subnormal range are 0 anyway, so 2^n is one
// factor, whose exponent comes out of the rounding in its place.
INLINE F exp_at_most_one(F x) {
  const Power power = power_of_e(max(splat(-88.0f), x), splat(0x1.8p23f + 127.0f));
  return power.fraction * floats(shift_left<23>(bits(power.shifted)));
}

INLINE F sigmoid(F x) { return splat(1.0f) / (splat(1.0f) + exp(splat(0.0f) - x)); }

void widen(const bf16* in, std::size_t n, float* out) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store(out + i, load_bf16(in + i));
  if (i < n) store_part(out + i, load_bf16_part(in + i, n - i), n - i);
}

void round(const float* in, std::size_t n, bf16* out) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store_bf16(out + i, load(in + i));
  if (i < n) store_bf16_part(out + i, load_part(in + i, n - i, 0), n - i);
}

void add(float* x, const float* y, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, load(x + i) + load(y + i));
  if (i < n) store_part(x + i, load_part(x + i, n - i, 0) + load_part(y + i, n - i, 0), n - i);
}

void add_scaled(float* x, const float* y, float scale, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, fma(splat(scale), load(y + i), load(x + i)));
  if (i < n) store_part(x + i, fma(splat(scale), load_part(y + i, n - i, 0), load_part(x + i, n - i, 0)), n - i);
}

float dot(const float* x, const float* y, std::size_t n) {
  F sum = splat(0.0f);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) sum = fma(load(x + i), load(y + i), sum);
  if (i < n) sum = fma(load_part(x + i, n - i, 0), load_part(y + i, n - i, 0), sum);
  return fold_sum(sum);
}

void rms_norm(const float* x, std::size_t n, const float* weight, float eps, bf16* rounded, float* exact) {
  F squares = splat(0.0f);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    F v = load(x + i);
    squares = fma(v, v, squares);
  }
  if (i < n) {
    F v = load_part(x + i, n - i, 0);
    squares = fma(v, v, squares);
  }
  F factor = splat(1.0f / __builtin_sqrtf(fold_sum(squares) / static_cast<float>(n) + eps));
  for (i = 0; i + 16 <= n; i += 16) {
    F y = load(x + i) * factor * load(weight + i);
    if (rounded) store_bf16(rounded + i, y);
    if (exact) store(exact + i, y);
  }
  if (i < n) {
    F y = load_part(x + i, n - i, 0) * factor * load_part(weight + i, n - i, 0);
    if (rounded) store_bf16_part(rounded + i, y, n - i);
    if (exact) store_part(exact + i, y, n - i);
  }
}

void rotate_adjacent(float* x, std::size_t dim, const float* cosine, const float* sine) {
  alignas(64) const float signs[16] = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
  const F sign = load(signs);
  std::size_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    F v = load(x + i);
    F turned = swap_pairs(v) * (load_doubled(sine + i / 2) * sign);
    store(x + i, fma(v, load_doubled(cosine + i / 2), turned));
  }
  for (; i < dim; i += 2) {
    float a = x[i], b = x[i + 1], c = cosine[i / 2], s = sine[i / 2];
    x[i] = __builtin_fmaf(a, c, -(b * s));
    x[i + 1] = __builtin_fmaf(b, c, a * s);
  }
}

void rotate_halves(float* x, std::size_t dim, const float* cosine, const float* sine) {
  const std::size_t half = dim / 2;
  std::size_t i = 0;
  for (; i + 16 <= half; i += 16) {
    F a = load(x + i), b = load(x + half + i), c = load(cosine + i), s = load(sine + i);
    store(x + i, fma(a, c, b * (s * splat(-1.0f))));
    store(x + half + i, fma(b, c, a * s));
  }
  for (; i < half; ++i) {
    float a = x[i], b = x[half + i], c = cosine[i], s = sine[i];
    x[i] = __builtin_fmaf(a, c, -(b * s));
    x[half + i] = __builtin_fmaf(b, c, a * s);
  }
}

INLINE F swiglu(F gate, F up) { return gate / (splat(1.0f) + exp(splat(0.0f) - gate)) * up; }
void swiglu(const float* gate, const float* up, std::size_t n, bf16* out) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store_bf16(out + i, swiglu(load(gate + i), load(up + i)));
  if (i < n) {
    store_bf16_part(out + i, swiglu(load_part(gate + i, n - i, 0), load_part(up + i, n - i, 0)), n - i);
  }
}

// The operands of min and max stand so that NaN stays.
INLINE F clamped_swiglu(F gate, F up, F limit) {
  F g = min(limit, gate), u = max(splat(0.0f) - limit, min(limit, up));
  return g / (splat(1.0f) + exp(splat(-1.702f) * g)) * (u + splat(1.0f));
}
void clamped_swiglu(const float* gate, const float* up, std::size_t n, float limit, bf16* out) {
  const F most = splat(limit);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store_bf16(out + i, clamped_swiglu(load(gate + i), load(up + i), most));
  if (i == n) return;
  F last = clamped_swiglu(load_part(gate + i, n - i, 0), load_part(up + i, n - i, 0), most);
  store_bf16_part(out + i, last, n - i);
}

void weighted_sum(const bf16* y, std::size_t y_stride, const std::uint32_t* row_of, const float* weights,
                  std::size_t picks, std::size_t n, float* out) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    F sum = load(out + i);
    for (std::size_t p = 0; p < picks; ++p) {
      sum = fma(splat(weights[p]), load_bf16(y + row_of[p] * y_stride + i), sum);
    }
    store(out + i, sum);
  }
  if (i == n) return;
  F sum = load_part(out + i, n - i, 0);
  for (std::size_t p = 0; p < picks; ++p) {
    sum = fma(splat(weights[p]), load_bf16_part(y + row_of[p] * y_stride + i, n - i), sum);
  }
  store_part(out + i, sum, n - i);
}

// The chain of a group's picks [0, picks), values i and on of a row: 16 for each F. Several keep the loop over picks
// from costing more than its products.
template <int Vectors>
INLINE void chain_of_picks(const bf16* y, std::size_t y_stride, const std::uint32_t* row_of, const float* weights,
                           std::size_t picks, std::size_t i, F (&sum)[Vectors]) {
  for (int v = 0; v < Vectors; ++v) {
    sum[v] = splat(weights[0]) * load_bf16(y + row_of[0] * y_stride + i + 16 * v);
  }
  for (std::size_t p = 1; p < picks; ++p) {
    const F weight = splat(weights[p]);
    const bf16* row = y + row_of[p] * y_stride + i;
    for (int v = 0; v < Vectors; ++v) sum[v] = fma(weight, load_bf16(row + 16 * v), sum[v]);
  }
}
// The last values of a row, fewer than 16.
INLINE F chain_of_picks_part(const bf16* y, std::size_t y_stride, const std::uint32_t* row_of, const float* weights,
                             std::size_t picks, std::size_t i, std::size_t n) {
  F sum = splat(weights[0]) * load_bf16_part(y + row_of[0] * y_stride + i, n);
  for (std::size_t p = 1; p < picks; ++p) {
    sum = fma(splat(weights[p]), load_bf16_part(y + row_of[p] * y_stride + i, n), sum);
  }
  return sum;
}

template <int Vectors>
INLINE std::size_t group_sum_from(std::size_t i, const bf16* y, std::size_t y_stride, const std::uint32_t* row_of,
                                  const float* weights, std::size_t picks, std::size_t n, bf16* out) {
  for (; i + 16 * Vectors <= n; i += 16 * Vectors) {
    F sum[Vectors];
    chain_of_picks(y, y_stride, row_of, weights, picks, i, sum);
    for (int v = 0; v < Vectors; ++v) store_bf16(out + i + 16 * v, sum[v]);
  }
  return i;
}
void group_sum(const bf16* y, std::size_t y_stride, const std::uint32_t* row_of, const float* weights,
               std::size_t picks, std::size_t n, bf16* out) {
  std::size_t i = group_sum_from<4>(0, y, y_stride, row_of, weights, picks, n, out);
  i = group_sum_from<1>(i, y, y_stride, row_of, weights, picks, n, out);
  if (i < n) store_bf16_part(out + i, chain_of_picks_part(y, y_stride, row_of, weights, picks, i, n - i), n - i);
}

template <int Vectors>
INLINE std::size_t sum_of_groups_from(std::size_t i, const bf16* y, std::size_t y_stride, const std::uint32_t* row_of,
                                      const float* weights, const std::uint32_t* ends, std::size_t most, std::size_t n,
                                      float* out) {
  for (; i + 16 * Vectors <= n; i += 16 * Vectors) {
    F sum[Vectors], of_group[Vectors];
    for (int v = 0; v < Vectors; ++v) sum[v] = load(out + i + 16 * v);
    for (std::size_t g = 0, begin = 0; g < most && ends[g] > begin; begin = ends[g++]) {
      chain_of_picks(y, y_stride, row_of + begin, weights + begin, ends[g] - begin, i, of_group);
      for (int v = 0; v < Vectors; ++v) sum[v] = sum[v] + round_bf16(of_group[v]);
    }
    for (int v = 0; v < Vectors; ++v) store(out + i + 16 * v, sum[v]);
  }
  return i;
}
void sum_of_groups(const bf16* y, std::size_t y_stride, const std::uint32_t* row_of, const float* weights,
                   const std::uint32_t* ends, std::size_t most, std::size_t n, float* out) {
  std::size_t i = sum_of_groups_from<4>(0, y, y_stride, row_of, weights, ends, most, n, out);
  i = sum_of_groups_from<1>(i, y, y_stride, row_of, weights, ends, most, n, out);
  if (i == n) return;
  F sum = load_part(out + i, n - i, 0);
  for (std::size_t g = 0, begin = 0; g < most && ends[g] > begin; begin = ends[g++]) {
    const std::size_t picks = ends[g] - begin;
    sum = sum + round_bf16(chain_of_picks_part(y, y_stride, row_of + begin, weights + begin, picks, i, n - i));
  }
  store_part(out + i, sum, n - i);
}

void sigmoid(float* x, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, sigmoid(load(x + i)));
  if (i < n) store_part(x + i, sigmoid(load_part(x + i, n - i, 0)), n - i);
}

void divide(float* x, std::size_t n, float by) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, load(x + i) / splat(by));
  if (i < n) store_part(x + i, load_part(x + i, n - i, 0) / splat(by), n - i);
}

float maximum(const float* x, std::size_t n) {
  F best = splat(-infinity);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) best = max(best, load(x + i));
  if (i < n) best = max(best, load_part(x + i, n - i, -infinity));
  return fold_max(best);
}

// Vectors of a chunk, the last filled up with its last value, which changes no maximum.
constexpr std::size_t chunk_vectors = maxima_chunk / 16;
INLINE F load_of_chunk(const float* x, std::size_t n, std::size_t vector) {
  if (16 * (vector + 1) <= n) return load(x + 16 * vector);
  return load_part(x + 16 * vector, 16 * vector < n ? n - 16 * vector : 0, x[n - 1]);
}

constexpr std::size_t row_ahead = 2048;  // 8 KiB, where a long row comes from memory

// x * 0 is 0, or NaN where x is infinite or NaN.
float chunk_maxima(const float* x, std::size_t n, float* maxima) {
  F bad[chunk_vectors];
  for (F& one : bad) one = splat(0.0f);
  const std::size_t chunks = (n + maxima_chunk - 1) / maxima_chunk, ahead = n > row_ahead ? row_ahead : 0;
  std::size_t c = 0;
  for (; (c + 16) * maxima_chunk <= n; c += 16) {
    F best[16];
    for (std::size_t i = 0; i < 16; ++i) {
      for (std::size_t v = 0; v < chunk_vectors; ++v) {
        const float* from = x + (c + i) * maxima_chunk + 16 * v;
        __builtin_prefetch(from + ahead, 0, 2);
        const F here = load(from);
        best[i] = v == 0 ? here : max(best[i], here);
        bad[v] = fma(here, splat(0.0f), bad[v]);
      }
    }
    transpose(best);
    for (std::size_t i = 1; i < 16; ++i) best[0] = max(best[0], best[i]);
    store(maxima + c, best[0]);
  }
  for (; c < chunks; ++c) {
    F best = splat(-infinity);
    for (std::size_t v = 0; v < chunk_vectors; ++v) {
      const F here = load_of_chunk(x + c * maxima_chunk, n - c * maxima_chunk, v);
      best = max(best, here);
      bad[v] = fma(here, splat(0.0f), bad[v]);
    }
    maxima[c] = fold_max(best);
  }
  for (std::size_t v = 1; v < chunk_vectors; ++v) bad[0] = bad[0] + bad[v];
  return fold_sum(bad[0]);
}

float exp_total(const float* x, std::size_t n, float maximum) {
  F sum = splat(0.0f);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __builtin_prefetch(x + i + row_ahead, 0, 2);
    sum = sum + exp_at_most_one(load(x + i) - splat(maximum));
  }
  if (i == n) return fold_sum(sum);
  alignas(64) float lane[16];
  store(lane, exp_at_most_one(load_part(x + i, n - i, maximum) - splat(maximum)));
  return fold_sum(sum + load_part(lane, n - i, 0));
}

float exp_sum(const float* x, std::size_t n, float maximum, float scale, float* p) {
  F sum = splat(0.0f);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    F e = exp((load(x + i) - splat(maximum)) * splat(scale));
    if (p) store(p + i, e);
    sum = sum + e;
  }
  if (i == n) return fold_sum(sum);
  F e = exp((load_part(x + i, n - i, maximum) - splat(maximum)) * splat(scale));
  if (p) store_part(p + i, e, n - i);
  alignas(64) float lane[16];
  store(lane, e);
  return fold_sum(sum + load_part(lane, n - i, 0));
}
