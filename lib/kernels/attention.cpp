#include "kernels/attention.hpp"

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "kernels/bodies.hpp"

namespace moemill::cpu {

namespace {

constexpr std::size_t rows_ahead = 4;  // of prefetching: about the memory's latency at its full rate

}  // namespace

void attention_begin(const cpu::Stream&, AttentionTile& tile) {
  std::fill_n(tile.maximum, tile.lanes, -std::numeric_limits<float>::infinity());
  std::fill_n(tile.sum, tile.lanes, 0.0f);
  std::fill_n(tile.output, tile.value_width * tile.lanes, 0.0f);
}

void attention_block(const cpu::Stream& stream, AttentionTile& tile, const float* keys, std::size_t key_stride,
                     const float* values, std::size_t value_stride, std::size_t tokens, std::uint32_t first_position) {
  expect(tile.lanes == 16 || tile.lanes == attention_lanes, "an attention tile has 16 or 32 lanes");
  expect(tokens <= page_tokens && first_position % page_tokens == 0, "attention blocks are aligned to 64 positions");
  stream.bodies().attention_block(tile, keys, key_stride, values, value_stride, tokens, first_position);
}

void attention_end(const cpu::Stream& stream, AttentionTile& tile) { stream.bodies().attention_end(tile); }

void widen_rows(const cpu::Stream& stream, const bf16* in, std::size_t in_stride, std::size_t rows, std::size_t width,
                float* out, std::size_t out_stride) {
  // Rows come cold from memory and with a stride, which the hardware alone does not read ahead well.
  for (std::size_t r = 0; r < rows; ++r) {
    if (r + rows_ahead < rows) {
      const bf16* later = in + (r + rows_ahead) * in_stride;
      for (std::size_t i = 0; i < width; i += 32) __builtin_prefetch(later + i);
    }
    stream.bodies().widen(in + r * in_stride, width, out + r * out_stride);
  }
}

void lanes_in(const cpu::Stream& stream, const float* in, std::size_t in_stride, std::size_t used, std::size_t width,
              float scale, float* out, std::size_t lanes) {
  stream.bodies().lanes_in(in, in_stride, used, width, scale, out, lanes);
}

void lanes_out(const cpu::Stream& stream, const float* in, std::size_t lanes, std::size_t used, std::size_t width,
               float* out, std::size_t out_stride) {
  stream.bodies().lanes_out(in, lanes, used, width, out, out_stride);
}

}  // namespace moemill::cpu
