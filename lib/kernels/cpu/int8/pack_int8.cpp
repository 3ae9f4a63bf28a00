// Quantising, as kernels/int8.hpp defines it, and packing what came out. Columns are quantised once, when they are
// loaded, by the vectors of 128 bits that every x86-64 has; nearest even and flushed subnormals are the thread's modes.
#include <emmintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.hpp"
#include "kernels/cpu/packed_layout.hpp"
#include "kernels/int8.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill::cpu {

namespace {

constexpr std::uint32_t magnitude_bits = 0x7fffffffu, infinity_bits = 0x7f800000u;

// What a group's largest magnitude makes of it; without an inverse all codes are 0.
struct Steps {
  float scale, inverse;
};
Steps steps_of(std::uint32_t largest_bits) {
  if (largest_bits >= infinity_bits) return {std::bit_cast<float>(int8_nan_bits), 0};
  const auto largest = std::bit_cast<float>(largest_bits);
  const float scale = largest / 127;
  if (scale == 0) return {0, 0};
  return {scale, 127 / largest};
}

// The scales of the group of input i over the panel of column j; its codes follow.
std::size_t group_byte(const Matrix& w, std::size_t i, std::size_t j) {
  const BlockPlace block = block_place(w, i / block_inputs);
  const std::size_t group = (i - block.first_input) / int8_group;
  return block.first_byte + j / panel_columns * block.panel_bytes + group * int8_group_bytes;
}
std::size_t code_in_group(std::size_t input, std::size_t column) {
  return int8_scale_bytes + input / 4 * int8_quad_bytes + column * 4 + input % 4;
}

// A column of a full group, in sixteens of codes.
struct Column {
  __m128i codes[int8_group / 16];
  float scale;
};

// fp32 of the lower or upper four of eight bf16 values.
__m128 lower_four(__m128i x) { return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), x)); }
__m128 upper_four(__m128i x) { return _mm_castsi128_ps(_mm_unpackhi_epi16(_mm_setzero_si128(), x)); }

__m128i load(const bf16* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

std::uint32_t largest_of(const bf16* in) {
  const __m128i magnitude = _mm_set1_epi16(0x7fff);
  __m128i largest = _mm_setzero_si128();
  for (std::size_t i = 0; i < int8_group; i += 8)
    largest = _mm_max_epi16(largest, _mm_and_si128(load(in + i), magnitude));
  alignas(16) std::uint16_t lanes[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(lanes), largest);
  return std::uint32_t{*std::max_element(lanes, lanes + 8)} << 16;
}

// quantize_group for a full group of bf16 values.
Column quantize_column(const bf16* in) {
  const Steps steps = steps_of(largest_of(in));
  Column out{{}, steps.scale};
  if (steps.inverse == 0) return out;
  const __m128 inverse = _mm_set1_ps(steps.inverse);
  const auto eight = [&](const bf16* from) {
    const __m128i x = load(from);
    return _mm_packs_epi32(_mm_cvtps_epi32(_mm_mul_ps(lower_four(x), inverse)),
                           _mm_cvtps_epi32(_mm_mul_ps(upper_four(x), inverse)));
  };
  for (std::size_t i = 0; i < int8_group / 16; ++i) {
    out.codes[i] = _mm_packs_epi16(eight(in + 16 * i), eight(in + 16 * i + 8));
  }
  return out;
}

// The codes of four neighbouring columns, where the first one's of the group begin at `out`.
void store_four(const Column (&columns)[4], std::size_t inputs, std::byte* out) {
  const __m128i bias = _mm_set1_epi8(static_cast<char>(int8_bias));
  for (std::size_t i = 0; i < inputs / 16; ++i) {
    const __m128i a = columns[0].codes[i], b = columns[1].codes[i], c = columns[2].codes[i], d = columns[3].codes[i];
    const __m128i ab_low = _mm_unpacklo_epi32(a, b), ab_high = _mm_unpackhi_epi32(a, b);
    const __m128i cd_low = _mm_unpacklo_epi32(c, d), cd_high = _mm_unpackhi_epi32(c, d);
    const __m128i quads[] = {_mm_unpacklo_epi64(ab_low, cd_low), _mm_unpackhi_epi64(ab_low, cd_low),
                             _mm_unpacklo_epi64(ab_high, cd_high), _mm_unpackhi_epi64(ab_high, cd_high)};
    for (std::size_t q = 0; q < 4; ++q) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + (4 * i + q) * int8_quad_bytes), _mm_xor_si128(quads[q], bias));
    }
  }
}

// A group's inputs of the columns of a panel.
struct GroupSource {
  const bf16* source;
  std::size_t column_stride, input_stride;
  std::size_t inputs, columns;
};

// Columns of a full group as they lie; anything else is gathered, input by input because neighbours may be columns, and
// filled up with zeros.
GroupSource whole_columns(const GroupSource& from, bf16 (&gathered)[panel_columns * int8_group]) {
  if (from.inputs == int8_group && from.columns == panel_columns && from.input_stride == 1) return from;
  std::fill(std::begin(gathered), std::end(gathered), bf16{0});
  for (std::size_t i = 0; i < from.inputs; ++i) {
    const bf16* input = from.source + i * from.input_stride;
    for (std::size_t j = 0; j < from.columns; ++j) gathered[j * int8_group + i] = input[j * from.column_stride];
  }
  return {gathered, int8_group, 1, from.inputs, panel_columns};
}

void pack_group(const GroupSource& from, std::byte* out) {
  bf16 gathered[panel_columns * int8_group];
  const GroupSource whole = whole_columns(from, gathered);
  auto* scales = reinterpret_cast<float*>(out);
  for (std::size_t j = 0; j < panel_columns; j += 4) {
    Column columns[4];
    for (std::size_t i = 0; i < 4; ++i) {
      columns[i] = quantize_column(whole.source + (j + i) * whole.column_stride);
      scales[j + i] = columns[i].scale;
    }
    store_four(columns, round_up(from.inputs, int8_step), out + code_in_group(0, j));
  }
}

}  // namespace

float quantize_group(const float* values, std::size_t count, std::int8_t* codes) {
  std::uint32_t largest_bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    largest_bits = std::max(largest_bits, std::bit_cast<std::uint32_t>(values[i]) & magnitude_bits);
  }
  const Steps steps = steps_of(largest_bits);
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = steps.inverse == 0 ? std::int8_t{0} : static_cast<std::int8_t>(std::lrint(values[i] * steps.inverse));
  }
  return steps.scale;
}

void pack_int8(void* packed, const Matrix& shape, const PackedPart& part, const bf16* source, std::size_t column_stride,
               std::size_t input_stride) {
  const std::size_t last_input = std::size_t{part.first_input} + part.inputs;
  expect(shape.format == Format::Int8 && part.first_column % panel_columns == 0 &&
             std::size_t{part.first_column} + part.columns <= shape.n,
         "packed columns begin at a panel");
  expect(part.first_input % int8_group == 0 && last_input <= shape.k &&
             (last_input % int8_group == 0 || last_input == shape.k),
         "int8 inputs are packed by whole groups");
  const FlushSubnormals flush;
  auto* to = static_cast<std::byte*>(packed);
  for (std::size_t i = part.first_input; i < last_input; i += int8_group) {
    const std::size_t inputs = std::min(int8_group, last_input - i);
    for (std::size_t j = 0; j < part.columns; j += panel_columns) {
      const bf16* first = source + (i - part.first_input) * input_stride + j * column_stride;
      pack_group({first, column_stride, input_stride, inputs, std::min(panel_columns, part.columns - j)},
                 to + group_byte(shape, i, part.first_column + j));
    }
  }
}

Int8Weight int8_at(const Matrix& w, std::uint32_t i, std::uint32_t j) {
  expect(w.format == Format::Int8, "the matrix is quantised");
  const std::byte* group = static_cast<const std::byte*>(w.data) + group_byte(w, i, j);
  const std::size_t column = j % panel_columns;
  const auto code = static_cast<int>(group[code_in_group(i % int8_group, column)]) - int8_bias;
  return {code, reinterpret_cast<const float*>(group)[column]};
}

}  // namespace moemill::cpu
