// The kernel of latent attention: a block of up to 64 keys against a tile of lanes. A lane is one (query, head) pair,
// and all lanes of a tile share the same keys and values. The lanes are the heads of a token over the cached latents,
// or consecutive queries of one head over expanded keys. Called by cpu::LatentAttention.
//
// Definition, per lane: scores s_t = one chain over d ascending of fma(k[t][d], q[d]); with m' = max(m, max visible
// s_t) the state is rescaled by exp(m - m') (when m' > m), p_t = exp(s_t - m') (0 where not visible), l and each o[d]
// are chains over t ascending (o by fma, l by addition). Blocks come in order of position, aligned to multiples of 64
// positions of the sequence, so chunking, batching and neighbouring lanes cannot change a bit. Queries include the
// softmax scale. A block in which a lane sees nothing leaves that lane unchanged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/numbers/bf16.hpp"
#include "base/page_tokens.hpp"
#include "base/rows.hpp"
#include "kernels/cpu/stream.hpp"

namespace moemill::cpu {

constexpr std::size_t attention_lanes = 32;  // lanes of a full tile; tiles of 16 exist too

// The running softmax of a tile. Lanes are innermost in all arrays.
struct AttentionTile {
  std::size_t lanes;           // 16 or 32
  std::size_t key_width;       // dk
  std::size_t value_width;     // dv
  const float* query;          // [dk][lanes], scaled; unused lanes are zero
  const std::uint32_t* first;  // [lanes] first visible position
  const std::uint32_t* last;   // [lanes] last visible position; an unused lane has first = 1, last = 0
  float* maximum;              // [lanes]
  float* sum;                  // [lanes]
  float* output;               // [dv][lanes]
};

// maximum = -inf, sum = 0, output = 0.
void attention_begin(const Stream& stream, AttentionTile& tile);
// One block: keys [tokens, key_width] and values [tokens, value_width]; first_position is a multiple of 64.
void attention_block(const Stream& stream, AttentionTile& tile, Rows<const float> keys, Rows<const float> values,
                     std::uint32_t first_position);

// A block of cached latents, in bf16, for tiles that share them: the keys are whole rows, the values the first
// value_width of each. The same bits as attention_block with widened rows.
struct LatentBlock {
  const bf16* rows;  // [tokens][stride]; up to 15 values behind a row may be read
  std::size_t stride;
  std::size_t tokens;  // 1 to 64
  std::uint32_t first_position;
  const bf16* next;  // as many rows that are needed after it, which are prefetched; may be null
  float* scratch;    // latent_scratch_floats, on a cache line
};
constexpr std::size_t latent_piece = 64;  // columns that are widened at a time: with all positions, they stay in L1
constexpr std::size_t latent_piece_floats = latent_piece * page_tokens;
constexpr std::size_t latent_tile_floats = (page_tokens + 1) * attention_lanes;  // scores, factors
constexpr std::size_t latent_scratch_floats(std::size_t tiles) {
  return latent_piece_floats + tiles * latent_tile_floats;
}
// Tiles of equal widths, all of 32 lanes; the last one may have 16.
void attention_latents(const Stream& stream, std::span<AttentionTile> tiles, const LatentBlock& block);

// output /= sum (lanes with sum 0 stay 0).
void attention_end(const Stream& stream, AttentionTile& tile);

// Converts bf16 rows to fp32.
void widen_rows(const Stream& stream, Rows<const bf16> in, Rows<float> out);
// Transposes queries [lanes in use, width] into a tile's [width, lanes] and multiplies them by `scale`. Lanes that are
// not in use become zero.
void lanes_in(const Stream& stream, Rows<const float> in, float scale, Rows<float> out);
// Transposes a tile's [width, lanes] back into rows [lanes in use, width].
void lanes_out(const Stream& stream, Rows<const float> in, Rows<float> out);

}  // namespace moemill::cpu
