// A weight is packed once, when it is loaded, so speed here is loading speed. Both usual layouts of a source have a
// body of 128-bit vectors, which every x86-64 has; anything else goes value by value.
#include "kernels/cpu/gemm/pack_tile.hpp"

#include <emmintrin.h>

#include <algorithm>

#include "base/numbers/rounding.hpp"
#include "kernels/cpu/bodies.hpp"

namespace moemill::cpu {

namespace {

constexpr std::size_t line_values = 2 * panel_columns;  // one pair over the panel

// The inputs of a tile's pair `pair`, counted from the tile's first input.
std::size_t input_at(const PackTile& t, std::size_t pair, std::size_t upper) {
  return pair / group_pairs * group_inputs + input_of(t.order, {pair % group_pairs, upper});
}

// Columns [first, last) of pairs [begin, end).
void by_value(const PackTile& t, std::size_t begin, std::size_t end, std::size_t first, std::size_t last) {
  for (std::size_t pair = begin; pair < end; ++pair) {
    for (std::size_t upper = 0; upper < 2; ++upper) {
      const std::size_t input = input_at(t, pair, upper);
      const bf16* from = t.source + input * t.input_stride;
      bf16* out = t.out + pair * line_values + upper;
      for (std::size_t j = first; j < last; ++j) {
        out[2 * j] = j < t.columns && input < t.inputs ? from[j * t.column_stride] : bf16{0};
      }
    }
  }
}

std::size_t all_pairs(const PackTile& t) { return round_up(t.inputs, group_inputs) / 2; }

__m128i load(const bf16* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
void store(bf16* to, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x); }

// Eight inputs of a column as the pairs that EvenThenOdd makes of them: 0 and 8 of its group, 1 and 9 for the first
// eight inputs, and so on.
__m128i even_then_odd(__m128i x) { return _mm_shufflehi_epi16(_mm_shufflelo_epi16(x, 0x72), 0x72); }

// Four columns by eight inputs, transposed as 32-bit lanes. pair_of: [4] of the group, where the lanes' pairs lie.
template <class Arrange>
void turn(const bf16* row, std::size_t column_stride, Arrange arrange, const std::size_t (&pair_of)[4], bf16* out) {
  const __m128i a = arrange(load(row)), b = arrange(load(row + column_stride));
  const __m128i c = arrange(load(row + 2 * column_stride)), d = arrange(load(row + 3 * column_stride));
  const __m128i ab_low = _mm_unpacklo_epi32(a, b), ab_high = _mm_unpackhi_epi32(a, b);
  const __m128i cd_low = _mm_unpacklo_epi32(c, d), cd_high = _mm_unpackhi_epi32(c, d);
  store(out + pair_of[0] * line_values, _mm_unpacklo_epi64(ab_low, cd_low));
  store(out + pair_of[1] * line_values, _mm_unpackhi_epi64(ab_low, cd_low));
  store(out + pair_of[2] * line_values, _mm_unpacklo_epi64(ab_high, cd_high));
  store(out + pair_of[3] * line_values, _mm_unpackhi_epi64(ab_high, cd_high));
}

// Inputs are neighbours in the source. A row's 64 bytes are used up before the next rows come: rows may lie 4 KiB apart
// and share one cache set.
void output_first(const PackTile& t) {
  const std::size_t columns = t.columns / 4 * 4, groups = t.inputs / group_inputs;
  for (std::size_t group = 0; group < groups; ++group) {
    bf16* lines = t.out + group * group_pairs * line_values;
    for (std::size_t j = 0; j < columns; j += 4) {
      const bf16* row = t.source + j * t.column_stride + group * group_inputs;
      for (std::size_t q = 0; q < group_inputs / 8; ++q) {
        if (t.order == PairOrder::Successive) {
          turn(
              row + 8 * q, t.column_stride, [](__m128i x) { return x; }, {4 * q, 4 * q + 1, 4 * q + 2, 4 * q + 3},
              lines + 2 * j);
        } else {
          turn(row + 8 * q, t.column_stride, even_then_odd, {2 * q, 8 + 2 * q, 2 * q + 1, 9 + 2 * q}, lines + 2 * j);
        }
      }
    }
  }
  by_value(t, 0, groups * group_pairs, columns, panel_columns);
  by_value(t, groups * group_pairs, all_pairs(t), 0, panel_columns);
}

// Eight columns of one input, for columns that are neighbours in the source, or every second value of it.
__m128i neighbours(const bf16* from) { return load(from); }
__m128i every_second(const bf16* from) {
  const __m128i low = _mm_srai_epi32(_mm_slli_epi32(load(from), 16), 16);
  const __m128i high = _mm_srai_epi32(_mm_slli_epi32(load(from + 8), 16), 16);
  return _mm_packs_epi32(low, high);  // sign-extended values pass the saturation unchanged
}

// Two inputs are interleaved, eight columns at a time. `columns` can be read in whole vectors.
template <class Read>
void input_first(const PackTile& t, std::size_t columns, Read read) {
  const std::size_t pairs = t.inputs / group_inputs * group_pairs;
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    const bf16* lower = t.source + input_at(t, pair, 0) * t.input_stride;
    const bf16* upper = t.source + input_at(t, pair, 1) * t.input_stride;
    for (std::size_t j = 0; j < columns; j += 8) {
      const __m128i a = read(lower + j * t.column_stride), b = read(upper + j * t.column_stride);
      bf16* out = t.out + pair * line_values + 2 * j;
      store(out, _mm_unpacklo_epi16(a, b));
      store(out + 8, _mm_unpackhi_epi16(a, b));
    }
  }
  by_value(t, 0, pairs, columns, panel_columns);
  by_value(t, pairs, all_pairs(t), 0, panel_columns);
}

}  // namespace

void pack_tile(const PackTile& tile) {
  if (tile.input_stride == 1) return output_first(tile);
  if (tile.column_stride == 1) return input_first(tile, tile.columns / 8 * 8, neighbours);
  // The last vector of every second value would read one value past the last column's.
  if (tile.column_stride == 2) return input_first(tile, (tile.columns - 1) / 8 * 8, every_second);
  by_value(tile, 0, all_pairs(tile), 0, panel_columns);
}

}  // namespace moemill::cpu
