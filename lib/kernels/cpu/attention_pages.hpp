// The kernel of grouped attention: rows, each a (query, head) pair, against one page of a key-value head, which is read
// in bf16 as it is cached. Called by cpu::GroupedAttention for prompt rows and generated rows. The lanes are 16
// positions of the page for scores and 16 values of a head for outputs, so all lanes are busy even if few heads share
// the page.
//
// A page of a key-value head: keys [head_dim / 2][64][2] (and [64] for the last dimension where head_dim is odd), then
// values [32][head_dim][2]. Neighbours in a 32-bit word are dimensions 2i and 2i + 1 of a key, and positions 2i and
// 2i + 1 of a value, so that widening is one operation.
//
// Definition, per row: scores s_t = one chain over d ascending of fma(q[d], k[t][d]), -inf where not visible; with
// m' = max(m, max s_t) the state is rescaled by exp(m - m'), p_t = exp(s_t - m'). The page's sum is a tree: lane l adds
// p_l, p_l+16, p_l+32, p_l+48 in this order, then lanes fold 8, 4, 2, 1; sum = sum * factor + it. o[d] = o[d] * factor,
// then one chain over t ascending of fma(p_t, v[t][d], o[d]). Pages come in order of position, aligned to multiples of
// 64 positions of the sequence, so chunking, batching and neighbouring rows cannot change a bit. Queries include the
// softmax scale. A page in which a row sees nothing leaves that row unchanged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/numbers/bf16.hpp"
#include "base/rows.hpp"
#include "kernels/cpu/stream.hpp"

namespace moemill::cpu {

// Queries are stored in pieces of this many values, so that the distance of two rows is a compile-time constant.
constexpr std::size_t attention_query_chunk = 64;

// Where the values of a row lie among those of all heads: row r is head r % heads of query r / heads.
template <class T>
struct HeadsOfGroup {
  T* data;             // of the first head of the first query
  std::size_t heads;   // that share the key-value head, one behind the other
  std::size_t stride;  // from one query to the next
};

// The running softmax of some rows.
struct AttentionRows {
  std::size_t rows;
  std::size_t head_dim;
  std::size_t output_stride;   // head_dim rounded up to 16 or more
  float* query;                // [head_dim / 64, rounded up][rows][64], scaled
  const std::uint32_t* first;  // [rows] first visible position
  const std::uint32_t* last;   // [rows] last visible position
  float* maximum;              // [rows]
  float* sum;                  // [rows]
  float* output;               // [rows][output_stride]
};

// query = queries * scale, maximum = sinks[row % sinks.size], sum = 1, output = 0; without sinks maximum = -inf, sum =
// 0.
void attention_begin(const Stream& stream, AttentionRows& rows, HeadsOfGroup<const float> queries, float scale,
                     Vector<const float> sinks);
// What is needed after a page, to be prefetched while it is used: any of it may be missing.
struct PageAhead {
  const bf16* page = nullptr;
  std::span<const float> queries = {};
};
// One page of a key-value head; first_position is a multiple of 64. Positions that no row sees do not
// count, but the memory of their keys must be readable.
void attention_page(const Stream& stream, AttentionRows& rows, const bf16* page, std::uint32_t first_position,
                    const PageAhead& next);
inline std::size_t attention_query_floats(std::size_t rows, std::size_t head_dim) {
  return (head_dim + attention_query_chunk - 1) / attention_query_chunk * attention_query_chunk * rows;
}
// outputs = output / sum (0 where the sum is 0).
void attention_end(const Stream& stream, AttentionRows& rows, HeadsOfGroup<float> outputs);

}  // namespace moemill::cpu
