// A panel's weights in registers, as the same bf16 values as the plain body's, for vector instruction sets.
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

// A pair of inputs over a panel: bf16 pairs of columns 0 .. 15 and 16 .. 31.
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

// The same in fp32.
struct PairValues {
  F upper[2], lower[2];
};

INLINE PairValues values_of(const PairBits& pair) {
  const U upper = splat(0xffff0000u);
  return {{floats(pair.columns[0] & upper), floats(pair.columns[1] & upper)},
          {floats(shift_left<16>(pair.columns[0])), floats(shift_left<16>(pair.columns[1]))}};
}
INLINE PairValues values_of(const PairValues& x) { return x; }

// The values are bf16's.
INLINE PairBits bits_of(const PairValues& x) {
  return {{bits(x.upper[0]) | shift_right<16>(bits(x.lower[0])), bits(x.upper[1]) | shift_right<16>(bits(x.lower[1]))}};
}
INLINE PairBits bits_of(const PairBits& x) { return x; }

INLINE PairValues scaled(const PairValues& x, const F (&scale)[2]) {
  return {{x.upper[0] * scale[0], x.upper[1] * scale[1]}, {x.lower[0] * scale[0], x.lower[1] * scale[1]}};
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
  return {{round(x.upper[0]), round(x.upper[1])}, {round(x.lower[0]), round(x.lower[1])}};
}

// Groups of inputs of a panel that share their scales.
struct Segment {
  const std::uint8_t* codes;
  const char* next;  // as many bytes to prefetch
  std::size_t groups;
};

INLINE U line_of(const Segment& s, std::size_t line) {
  __builtin_prefetch(s.next + line * code_line_bytes, 0, 2);
  return load(reinterpret_cast<const std::uint32_t*>(s.codes + line * code_line_bytes));
}

// visitor.pair(x) for each pair, in order, as PairBits or PairValues; visitor.end_half() after each half of a group.
template <class Visitor>
INLINE void fp8_uniform(const Segment& s, float scale, Visitor& visitor) {
  const Fp8Table table = fp8_table(scale);
  for (std::size_t half = 0; half < 2 * s.groups; ++half) {
    for (std::size_t i = 0; i < half_pairs; ++i) visitor.pair(fp8_pair(line_of(s, half * half_pairs + i), table));
    visitor.end_half();
  }
}

// Any scale: one per column, or one for all of them.
template <F round(F), class Visitor>
INLINE void fp8_by_column(const Segment& s, const float* scales, std::size_t columns, Visitor& visitor) {
  const Fp8Table table = fp8_table(1);
  const F scale[2] = {columns == 1 ? splat(*scales) : load(scales), columns == 1 ? splat(*scales) : load(scales + 16)};
  for (std::size_t half = 0; half < 2 * s.groups; ++half) {
    for (std::size_t i = 0; i < half_pairs; ++i) {
      visitor.pair(rounded<round>(scaled(values_of(fp8_pair(line_of(s, half * half_pairs + i), table)), scale)));
    }
    visitor.end_half();
  }
}

// One scale byte per column; byte 0 is zero (base/numbers/small_floats.hpp).
template <class Visitor>
INLINE void mxfp4_segment(const Segment& s, const CodeTable& table, const std::uint8_t* scales, Visitor& visitor) {
  const F scale[2] = {floats(shift_left<23>(load_bytes(scales))), floats(shift_left<23>(load_bytes(scales + 16)))};
  const U nibble = splat(0x0f0f0f0fu);
  for (std::size_t half = 0; half < 2 * s.groups; ++half) {
    for (std::size_t i = 0; i < half_pairs / 2; ++i) {
      const U both = line_of(s, half * half_pairs / 2 + i);
      visitor.pair(scaled(values_of(mxfp4_pair(both & nibble, table)), scale));
      visitor.pair(scaled(values_of(mxfp4_pair(shift_words_right_4(both) & nibble, table)), scale));
    }
    visitor.end_half();
  }
}

// Weights in bf16 are pairs already.
template <class Visitor>
INLINE void bf16_groups(const char* lines, std::size_t groups, const char* next, Visitor& visitor) {
  for (std::size_t half = 0; half < 2 * groups; ++half) {
    for (std::size_t i = 0; i < half_pairs; ++i, lines += 128, next += 128) {
      __builtin_prefetch(next, 0, 2);
      __builtin_prefetch(next + 64, 0, 2);
      const auto* line = reinterpret_cast<const std::uint32_t*>(lines);
      visitor.pair(PairBits{{load(line), load(line + 16)}});
    }
    visitor.end_half();
  }
}

// The groups [first, first + groups) of a panel. `next` is what the data of as many groups are prefetched from.
template <class Visitor>
INLINE void decode_groups(const GemmPanels& w, std::size_t panel, std::size_t first, std::size_t groups,
                          const char* next, Visitor& visitor) {
  const std::uint8_t* codes = reinterpret_cast<const std::uint8_t*>(w.data) + panel * w.panel_bytes;
  if (w.format == Format::Bf16) {
    constexpr std::size_t bytes = group_inputs * panel_columns * sizeof(bf16);
    return bf16_groups(reinterpret_cast<const char*>(codes) + first * bytes, groups, next, visitor);
  }
  const std::byte* scales = w.scales + panel * w.panel_scale_bytes;
  const bool fp8 = w.format == Format::Fp8;
  const std::size_t group_bytes = group_pairs * (fp8 ? code_line_bytes : code_line_bytes / 2);
  const CodeTable nibbles = mxfp4_table();
  for (std::size_t group = first; group < first + groups;) {
    const std::size_t input = w.first_input + group_inputs * group, segment = input / w.scale_inputs;
    const std::size_t left = ((segment + 1) * w.scale_inputs - input) / group_inputs;
    const std::size_t count = left < first + groups - group ? left : first + groups - group;
    const Segment s = {codes + group * group_bytes, next + (group - first) * group_bytes, count};
    const std::byte* own = scales + segment * w.scale_columns * (fp8 ? sizeof(float) : 1);
    const float* scale = reinterpret_cast<const float*>(own);
    if (!fp8) {
      mxfp4_segment(s, nibbles, reinterpret_cast<const std::uint8_t*>(own), visitor);
    } else if (w.scale_columns == 1 && keeps_normal(*scale)) {
      fp8_uniform(s, *scale, visitor);
    } else if (w.scale_columns != 1 && count >= 2 && keep_normal(scale)) {  // one group does not pay the question
      fp8_by_column<round_normal>(s, scale, w.scale_columns, visitor);
    } else {
      fp8_by_column<round_to_bf16>(s, scale, w.scale_columns, visitor);
    }
    group += count;
  }
}
