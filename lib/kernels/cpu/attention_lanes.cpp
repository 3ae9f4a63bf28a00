#include "kernels/cpu/attention_lanes.hpp"

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "kernels/cpu/bodies.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill::cpu {

namespace {

constexpr std::size_t rows_ahead = 4;  // prefetched: about the memory's latency at its full rate

}  // namespace

void attention_begin(const Stream&, AttentionTile& tile) {
  std::fill_n(tile.maximum, tile.lanes, -std::numeric_limits<float>::infinity());
  std::fill_n(tile.sum, tile.lanes, 0.0f);
  std::fill_n(tile.output, tile.value_width * tile.lanes, 0.0f);
}

void attention_block(const Stream& stream, AttentionTile& tile, Rows<const float> keys, Rows<const float> values,
                     std::uint32_t first_position) {
  expect(tile.lanes == 16 || tile.lanes == attention_lanes, "an attention tile has 16 or 32 lanes");
  expect(keys.rows <= page_tokens && first_position % page_tokens == 0, "attention blocks are aligned to 64 positions");
  const FlushSubnormals flush;
  stream.bodies().attention_block(tile, keys.data, keys.stride, values.data, values.stride, keys.rows, first_position);
}

void attention_latents(const Stream& stream, std::span<AttentionTile> tiles, const LatentBlock& block) {
  expect(!tiles.empty() && block.tokens <= page_tokens && block.first_position % page_tokens == 0,
         "attention blocks are aligned to 64 positions");
  for (const AttentionTile& tile : tiles) {
    expect(tile.lanes == attention_lanes || (tile.lanes == 16 && &tile == &tiles.back()),
           "only the last attention tile has 16 lanes");
  }
  const FlushSubnormals flush;
  stream.bodies().attention_latents(tiles.data(), tiles.size(), block);
}

void attention_end(const Stream& stream, AttentionTile& tile) {
  const FlushSubnormals flush;
  stream.bodies().attention_end(tile);
}

void widen_rows(const Stream& stream, Rows<const bf16> in, Rows<float> out) {
  // Rows come cold from memory and with a stride, which the hardware alone does not read ahead well.
  for (std::size_t r = 0; r < in.rows; ++r) {
    if (r + rows_ahead < in.rows) {
      const bf16* later = in.row(r + rows_ahead);
      for (std::size_t i = 0; i < in.width; i += 32) __builtin_prefetch(later + i);
    }
    stream.bodies().widen(in.row(r), in.width, out.row(r));
  }
}

void lanes_in(const Stream& stream, Rows<const float> in, float scale, Rows<float> out) {
  const FlushSubnormals flush;
  stream.bodies().lanes_in(in.data, in.stride, in.rows, in.width, scale, out.data, out.width);
}

void lanes_out(const Stream& stream, Rows<const float> in, Rows<float> out) {
  const FlushSubnormals flush;
  stream.bodies().lanes_out(in.data, in.width, out.rows, out.width, out.data, out.stride);
}

}  // namespace moemill::cpu
