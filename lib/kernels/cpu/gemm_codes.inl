// A panel's codes in registers, as the same bf16 values as the plain body's, for vector instruction sets.
//
// A code becomes bf16 by tables of sixteen values, whose upper and lower bytes byte shuffles look up. In MXFP4 the
// nibble is the index. In FP8 it is the fraction with the exponent's lowest bit, and the rest of the exponent is added
// to the table's; codes of exponent zero (0 and the subnormal ones) have a table of their own. Where one scale is
// common to a panel, the tables hold the scaled and rounded values: no exponent changes how a normal product is
// rounded.

struct CodeTable {
  U low, high;  // bytes
};

INLINE CodeTable make_table(const std::uint16_t (&words)[16]) {
  alignas(16) std::uint8_t low[16], high[16];
  for (int i = 0; i < 16; ++i) {
    low[i] = static_cast<std::uint8_t>(words[i]);
    high[i] = static_cast<std::uint8_t>(words[i] >> 8);
  }
  return {load_quarters(low), load_quarters(high)};
}

// Scales under which every product of an FP8 code is zero or a normal bf16 value, and far from the largest one.
INLINE bool keeps_normal(float scale) {
  const float size = scale < 0 ? -scale : scale;
  return size >= 0x1p-117f && size <= 0x1p100f;
}
INLINE bool keep_normal(const float* scales) {
  bool all = true;
  for (std::size_t j = 0; j < panel_columns; ++j) all = all && (scales[j] == 0 || keeps_normal(scales[j]));
  return all;
}

struct Fp8Table {
  CodeTable small, normal;  // exponent zero; the others, as if their exponent were 0 or 1
};

INLINE Fp8Table fp8_table(float scale) {
  // The codes 0 .. 15: fractions under exponent zero, and under exponent 1.
  alignas(64) static constexpr float first[16] = {
      0 * 0x1p-9f, 1 * 0x1p-9f, 2 * 0x1p-9f,  3 * 0x1p-9f,  4 * 0x1p-9f,  5 * 0x1p-9f,  6 * 0x1p-9f,  7 * 0x1p-9f,
      8 * 0x1p-9f, 9 * 0x1p-9f, 10 * 0x1p-9f, 11 * 0x1p-9f, 12 * 0x1p-9f, 13 * 0x1p-9f, 14 * 0x1p-9f, 15 * 0x1p-9f};
  bf16 values[16];
  store_bf16(values, load(first) * splat(scale));
  std::uint16_t small[16], normal[16];
  for (int i = 0; i < 16; ++i) small[i] = values[i % 8].bits;
  for (int i = 0; i < 16; ++i) normal[i] = static_cast<std::uint16_t>(values[8 + i % 8].bits - (i < 8 ? 0x80 : 0));
  return {make_table(small), make_table(normal)};
}

INLINE CodeTable mxfp4_table() {
  constexpr std::uint16_t words[16] = {0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080, 0x40c0,
                                       0x8000, 0xbf00, 0xbf80, 0xbfc0, 0xc000, 0xc040, 0xc080, 0xc0c0};
  return make_table(words);
}

// A pair of k over a panel: bf16 pairs of columns 0 .. 15 and 16 .. 31.
struct PairBits {
  U columns[2];
};

INLINE PairBits fp8_pair(U codes, const Fp8Table& table) {
  const U index = codes & splat(0x7f7f7f7fu);
  const U low = look_up(index, table.small.low, table.normal.low);
  const U high = look_up(index, table.small.high, table.normal.high);
  // The sign and the exponent's upper bits belong into the upper byte.
  const U top = (shift_words_right_4(codes) & splat(0x07070707u)) | (codes & splat(0x80808080u));
  const U sum = add_bytes(high, top);
  return {{unpack_low(low, sum), unpack_high(low, sum)}};
}

INLINE PairBits mxfp4_pair(U nibbles, const CodeTable& table) {
  const U low = shuffle_bytes(table.low, nibbles), high = shuffle_bytes(table.high, nibbles);
  return {{unpack_low(low, high), unpack_high(low, high)}};
}

// The same in fp32: of the even k and of the odd one.
struct PairValues {
  F even[2], odd[2];
};

INLINE PairValues values_of(const PairBits& pair) {
  const U upper = splat(0xffff0000u);
  return {{floats(shift_left<16>(pair.columns[0])), floats(shift_left<16>(pair.columns[1]))},
          {floats(pair.columns[0] & upper), floats(pair.columns[1] & upper)}};
}

INLINE PairValues scaled(const PairValues& x, const F (&scale)[2]) {
  return {{x.even[0] * scale[0], x.even[1] * scale[1]}, {x.odd[0] * scale[0], x.odd[1] * scale[1]}};
}

// To bf16's values, ties to even. Nothing here is infinite or NaN: loading refuses such weights.
INLINE F round_to_bf16(F x) {
  const U u = bits(x);
  return floats((u + splat(0x7fffu) + (shift_right_signed<16>(u) & splat(1u))) & splat(0xffff0000u));
}
// The same for zeros and values whose scale keeps_normal, in fewer instructions (Veltkamp's splitting, which with 24
// bits that become 8 rounds ties to even, too).
INLINE F round_normal(F x) {
  const F wide = x * splat(0x1p16f + 1);
  return wide - (wide - x);
}
template <F round(F)>
INLINE PairValues rounded(const PairValues& x) {
  return {{round(x.even[0]), round(x.even[1])}, {round(x.odd[0]), round(x.odd[1])}};
}

// Pairs of a panel that share their scales.
struct Segment {
  const std::uint8_t* codes;
  const char* next;  // as many bytes to prefetch
  std::size_t pairs;
};

INLINE U line_of(const Segment& s, std::size_t line) {
  __builtin_prefetch(s.next + line * code_line_bytes, 0, 2);
  return load(reinterpret_cast<const std::uint32_t*>(s.codes + line * code_line_bytes));
}

// visit(values) for each pair, in order.
template <class Visit>
INLINE void fp8_uniform(const Segment& s, float scale, Visit visit) {
  const Fp8Table table = fp8_table(scale);
  for (std::size_t pair = 0; pair < s.pairs; ++pair) visit(values_of(fp8_pair(line_of(s, pair), table)));
}

// Any scale: one per column, or one for all of them.
template <F round(F), class Visit>
INLINE void fp8_by_column(const Segment& s, const float* scales, std::size_t columns, Visit visit) {
  const Fp8Table table = fp8_table(1);
  const F scale[2] = {columns == 1 ? splat(*scales) : load(scales), columns == 1 ? splat(*scales) : load(scales + 16)};
  for (std::size_t pair = 0; pair < s.pairs; ++pair) {
    visit(rounded<round>(scaled(values_of(fp8_pair(line_of(s, pair), table)), scale)));
  }
}

// One scale byte per column.
template <class Visit>
INLINE void mxfp4_segment(const Segment& s, const CodeTable& table, const std::uint8_t* scales, Visit visit) {
  F scale[2];
  for (int v = 0; v < 2; ++v) {
    scale[v] = max(floats(shift_left<23>(load_bytes(scales + 16 * v))), splat(0x1p-127f));  // byte 0 means 2^-127
  }
  const U nibble = splat(0x0f0f0f0fu);
  for (std::size_t line = 0; line < s.pairs / 2; ++line) {
    const U both = line_of(s, line);
    visit(scaled(values_of(mxfp4_pair(both & nibble, table)), scale));
    visit(scaled(values_of(mxfp4_pair(shift_words_right_4(both) & nibble, table)), scale));
  }
}

// visit(values) for each of the pairs [first, first + pairs) of a panel, in order. `next` is what the data of as many
// pairs are prefetched from.
template <class Visit>
INLINE void decode_pairs(const GemmPanels& w, std::size_t panel, std::size_t first, std::size_t pairs, const char* next,
                         Visit visit) {
  const std::uint8_t* codes = reinterpret_cast<const std::uint8_t*>(w.data) + panel * w.panel_bytes;
  const std::byte* scales = w.scales + panel * w.panel_scale_bytes;
  const bool fp8 = w.format == Format::Fp8;
  const std::size_t pair_code_bytes = fp8 ? code_line_bytes : code_line_bytes / 2;
  const CodeTable nibbles = mxfp4_table();
  for (std::size_t pair = first; pair < first + pairs;) {
    const std::size_t input = w.first_input + 2 * pair, segment = input / w.scale_inputs;
    const std::size_t left = ((segment + 1) * w.scale_inputs - input) / 2;
    const std::size_t count = left < first + pairs - pair ? left : first + pairs - pair;
    const Segment s = {codes + pair * pair_code_bytes, next + (pair - first) * pair_code_bytes, count};
    const std::byte* own = scales + segment * w.scale_columns * (fp8 ? sizeof(float) : 1);
    const float* scale = reinterpret_cast<const float*>(own);
    if (!fp8) {
      mxfp4_segment(s, nibbles, reinterpret_cast<const std::uint8_t*>(own), visit);
    } else if (w.scale_columns == 1 && keeps_normal(*scale)) {
      fp8_uniform(s, *scale, visit);
    } else if (w.scale_columns != 1 && count >= 32 && keep_normal(scale)) {  // few pairs do not pay the question
      fp8_by_column<round_normal>(s, scale, w.scale_columns, visit);
    } else {
      fp8_by_column<round_to_bf16>(s, scale, w.scale_columns, visit);
    }
    pair += count;
  }
}

// To fp32 [2 * pairs][panel_columns].
void decode_panel(const GemmPanels& w, std::size_t panel, std::size_t first, std::size_t pairs, const char* next,
                  float* out) {
  decode_pairs(
      w, panel, first, pairs, next, [&](const PairValues& x) __attribute__((always_inline)) {
        for (int v = 0; v < 2; ++v) {
          store(out + 16 * v, x.even[v]);
          store(out + panel_columns + 16 * v, x.odd[v]);
        }
        out += 2 * panel_columns;
      });
}

// Rows of C over one panel and all pairs of its K block. The weights go from registers into the products.
template <int Rows>
void decoded_tile(const GemmPanels& w, std::size_t panel, std::size_t pairs, const char* next, const float* a, float* c,
                  std::size_t c_stride, bool first) {
  F sum[Rows][2];
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < 2; ++v)
      sum[i][v] = first ? splat(0.0f) : load(c + static_cast<std::size_t>(i) * c_stride + 16 * v);
  }
  decode_pairs(
      w, panel, 0, pairs, next, [&](const PairValues& x) __attribute__((always_inline)) {
        for (int i = 0; i < Rows; ++i) {
          const float* row = a + static_cast<std::size_t>(i) * a_row_stride;
          const F even = splat(row[0]), odd = splat(row[1]);
          for (int v = 0; v < 2; ++v) sum[i][v] = fma(odd, x.odd[v], fma(even, x.even[v], sum[i][v]));
        }
        a += 2;
      });
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < 2; ++v) store(c + static_cast<std::size_t>(i) * c_stride + 16 * v, sum[i][v]);
  }
}

constexpr std::size_t decoded_rows = 4;  // more accumulators than these do not fit beside the decoding
struct DecodedTiles {
  static constexpr decltype(&decoded_tile<1>) of_rows[decoded_rows] = {decoded_tile<1>, decoded_tile<2>,
                                                                       decoded_tile<3>, decoded_tile<4>};
};
