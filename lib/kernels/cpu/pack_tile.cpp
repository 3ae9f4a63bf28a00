// A weight is packed once, when it is loaded, so speed here is loading speed. Both usual layouts of a source have a
// body of 128-bit vectors, which every x86-64 has; anything else goes value by value.
#include "kernels/cpu/pack_tile.hpp"

#include <emmintrin.h>

#include <algorithm>

#include "kernels/cpu/bodies.hpp"

namespace moemill::cpu {

namespace {

// Columns [first, last) of pairs [begin, end).
void by_value(const PackTile& t, std::size_t begin, std::size_t end, std::size_t first, std::size_t last) {
  for (std::size_t pair = begin; pair < end; ++pair) {
    for (std::size_t j = first; j < last; ++j) {
      bf16* out = t.out + (pair * panel_columns + j) * 2;
      const bf16* from = t.source + j * t.column_stride + 2 * pair * t.input_stride;
      out[0] = j < t.columns ? from[0] : bf16{0};
      out[1] = j < t.columns && 2 * pair + 1 < t.inputs ? from[t.input_stride] : bf16{0};
    }
  }
}

__m128i load(const bf16* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
void store(bf16* to, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x); }

// Inputs are neighbours in the source: four columns by four pairs are transposed as 32-bit lanes. A row's 64 bytes are
// used up before the next rows come: rows may lie 4 KiB apart and share one cache set.
void output_first(const PackTile& t) {
  constexpr std::size_t line_pairs = 16;
  const std::size_t columns = t.columns / 4 * 4, pairs = t.inputs / 2 / 4 * 4, all = (t.inputs + 1) / 2;
  for (std::size_t line = 0; line < pairs; line += line_pairs) {
    for (std::size_t j = 0; j < columns; j += 4) {
      const bf16* row = t.source + j * t.column_stride;
      for (std::size_t pair = line; pair < std::min(pairs, line + line_pairs); pair += 4) {
        const __m128i a = load(row + 2 * pair), b = load(row + t.column_stride + 2 * pair);
        const __m128i c = load(row + 2 * t.column_stride + 2 * pair), d = load(row + 3 * t.column_stride + 2 * pair);
        const __m128i ab_low = _mm_unpacklo_epi32(a, b), ab_high = _mm_unpackhi_epi32(a, b);
        const __m128i cd_low = _mm_unpacklo_epi32(c, d), cd_high = _mm_unpackhi_epi32(c, d);
        bf16* out = t.out + (pair * panel_columns + j) * 2;
        store(out, _mm_unpacklo_epi64(ab_low, cd_low));
        store(out + 2 * panel_columns, _mm_unpackhi_epi64(ab_low, cd_low));
        store(out + 4 * panel_columns, _mm_unpacklo_epi64(ab_high, cd_high));
        store(out + 6 * panel_columns, _mm_unpackhi_epi64(ab_high, cd_high));
      }
    }
  }
  by_value(t, 0, pairs, columns, panel_columns);
  by_value(t, pairs, all, 0, panel_columns);
}

// Columns are neighbours in the source: two inputs are interleaved.
void input_first(const PackTile& t) {
  const std::size_t columns = t.columns / 8 * 8, pairs = t.inputs / 2, all = (t.inputs + 1) / 2;
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    const bf16* even = t.source + 2 * pair * t.input_stride;
    for (std::size_t j = 0; j < columns; j += 8) {
      const __m128i a = load(even + j), b = load(even + t.input_stride + j);
      bf16* out = t.out + (pair * panel_columns + j) * 2;
      store(out, _mm_unpacklo_epi16(a, b));
      store(out + 8, _mm_unpackhi_epi16(a, b));
    }
  }
  by_value(t, 0, pairs, columns, panel_columns);
  by_value(t, pairs, all, 0, panel_columns);
}

// Columns are every second value of the source (gate and up of one expert, value by value): as above after the even
// values of two vectors have been brought together.
void input_first_by_two(const PackTile& t) {
  // The last vector would read one value past the last column's.
  const std::size_t columns = (t.columns - 1) / 8 * 8, pairs = t.inputs / 2, all = (t.inputs + 1) / 2;
  const auto evens = [](const bf16* from) {
    const __m128i low = _mm_srai_epi32(_mm_slli_epi32(load(from), 16), 16);
    const __m128i high = _mm_srai_epi32(_mm_slli_epi32(load(from + 8), 16), 16);
    return _mm_packs_epi32(low, high);  // sign-extended values pass the saturation unchanged
  };
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    const bf16* even = t.source + 2 * pair * t.input_stride;
    for (std::size_t j = 0; j < columns; j += 8) {
      const __m128i a = evens(even + 2 * j), b = evens(even + t.input_stride + 2 * j);
      bf16* out = t.out + (pair * panel_columns + j) * 2;
      store(out, _mm_unpacklo_epi16(a, b));
      store(out + 8, _mm_unpackhi_epi16(a, b));
    }
  }
  by_value(t, 0, pairs, columns, panel_columns);
  by_value(t, pairs, all, 0, panel_columns);
}

}  // namespace

void pack_tile(const PackTile& tile) {
  if (tile.input_stride == 1) return output_first(tile);
  if (tile.column_stride == 1) return input_first(tile);
  if (tile.column_stride == 2) return input_first_by_two(tile);
  by_value(tile, 0, (tile.inputs + 1) / 2, 0, panel_columns);
}

}  // namespace moemill::cpu
