// The attention kernel under every form of attention: a block of up to 64 keys against a tile of lanes. A lane is one
// (query, head) pair; all lanes of a tile share the same keys and values: the heads of a token over MLA's latent cache,
// consecutive queries of one head over expanded keys, the query group of a GQA head.
//
// Definition, per lane: scores s_t = one chain over d ascending of fma(k[t][d], q[d]); with m' = max(m, max visible
// s_t) the state is rescaled by exp(m - m') (when m' > m), p_t = exp(s_t - m') (0 where not visible), l and each o[d]
// are chains over t ascending (o by fma, l by addition). Blocks come in order of position, aligned to multiples of 64
// positions of the sequence, so chunking, batching and lanes beside it cannot change a bit. Queries carry the softmax
// scale already. A block in which a lane sees nothing leaves that lane as it is.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bf16.hpp"
#include "base/rows.hpp"
#include "kernels/cpu/stream.hpp"

namespace moemill::cpu {

constexpr std::size_t attention_lanes = 32;  // lanes of a full tile; tiles of 16 exist too

// The running softmax of a tile. Layouts have lanes innermost.
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
// output /= sum (lanes with sum 0 stay 0).
void attention_end(const Stream& stream, AttentionTile& tile);

// bf16 rows to fp32 rows: how a page or an expanded block becomes `keys` and `values`.
void widen_rows(const Stream& stream, Rows<const bf16> in, Rows<float> out);
// [lanes, width] to [width, lanes] times scale, and back: how queries get in and outputs get out. `lanes` is the width
// of the view that holds them innermost; the outer view has the rows in use, and lanes beyond those are zeroed.
void lanes_in(const Stream& stream, Rows<const float> in, float scale, Rows<float> out);
void lanes_out(const Stream& stream, Rows<const float> in, Rows<float> out);

}  // namespace moemill::cpu
