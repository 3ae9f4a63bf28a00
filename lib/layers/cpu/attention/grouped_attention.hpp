// Grouped-query attention over the paged cache: windows, sinks, partial rotation, norms, biases, clipping. Called
// through cpu::Attention once per layer and micro-batch. One form for prompt and generated rows: the queries of a
// tile times the heads that share a key-value head are the rows of kernels/cpu/attention_pages, and a cached page is
// read once for all of them.
//
// Definition: projections take the norm's fp32 rows, unrounded, and return fp32; biases are added; then come the norms
// of queries and keys, clipping, and the rotation of the first rope.dim values of a head, all in fp32. The query stays
// in fp32, unrounded; it is multiplied by the softmax scale as it enters the kernel. Keys (after their rotation) and
// values are rounded to bf16 as they enter the cache and are read back from it, including those of the current rows.
// The row at position t of a layer with window W sees t - W + 1 .. t. A sink is a score, unscaled, without a value: the
// running softmax begins with maximum = sink and sum = 1. The output projection takes the heads' outputs in fp32,
// unrounded, and its bias is added to its result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.hpp"
#include "kernels/cpu/attention_pages.hpp"
#include "kernels/cpu/stream.hpp"
#include "kernels/rows.hpp"
#include "layers/cpu/attention/grouped_tiles.hpp"
#include "layers/cpu/attention/kv_cache.hpp"
#include "model/config.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::cpu {

class GroupedAttention {
 public:
  GroupedAttention(Stream& stream, const model::ModelConfig& config, KvCache& cache);

  // Reserves workspace for micro-batches of up to `rows` rows.
  void reserve(std::size_t rows);
  void make_tiles(const AttentionPlan& plan, GroupedTiles& tiles) const;
  // Writes the rows' keys and values into the cache, then sets `out` to the attention's output. normed and out are
  // [rows, hidden] and may be the same memory.
  void run(const model::GqaWeights& weights, LayerId layer, const AttentionPlan& plan, const GroupedTiles& tiles,
           Rows<const float> normed, Rows<float> out);
  std::uint64_t workspace_bytes() const;

 private:
  // The inputs of one layer's attention.
  struct Job {
    const model::GqaWeights& weights;
    LayerId layer;
    const AttentionPlan& plan;
    const GroupedTiles& tiles;
    std::size_t group;     // PageGroup of the layer
    std::uint32_t window;  // 0: the layer sees all positions
  };
  // The pages of one key-value head that a tile reads, in order.
  struct Walk {
    const GroupedTile* tile;
    std::size_t kv_head;
    std::uint32_t page, end;  // of the sequence
  };
  // The memory in which a thread works on one tile.
  struct Memory {
    Buffer<float> query, maximum, sum, output;
    Buffer<std::uint32_t> first, last;
  };

  void project(const Job& job, Rows<const float> normed);
  // Norms every weight.size values of a row; nothing where the model has no such norm.
  void norm(Rows<float> x, Vector<const float> weight);
  void append(const Job& job);

  Walk walk_of(const Job& job, std::size_t index) const;
  const bf16* page_at(const Job& job, const Walk& walk) const;
  void attend(const Job& job);
  PageAhead start_of(const Job& job, const Walk& walk);
  void follow(const Job& job, const Walk& walk, const PageAhead& after, int thread);

  std::size_t heads_per_kv_head() const { return gqa_.heads / gqa_.kv_heads; }
  std::size_t queries_per_tile() const;
  Rows<float> query(std::size_t rows) { return query_.rows(rows, query_width_, query_stride_); }
  Rows<float> attended(std::size_t rows) { return attended_.rows(rows, query_width_, query_stride_); }
  Rows<float> keys_and_values(std::size_t rows) { return kv_.rows(rows, 2 * kv_width_, kv_stride_); }

  Stream& stream_;
  const model::Gqa gqa_;
  const float norm_eps_;
  const std::size_t rope_dim_;
  const RotaryPairs pairs_;
  KvCache& cache_;
  const std::size_t query_width_;   // values of all queries of a row
  const std::size_t kv_width_;      // values of all keys, or of all values, of a row
  const std::size_t query_stride_;  // values per row of query_ and attended_
  const std::size_t kv_stride_;     // of kv_

  Buffer<float> query_;                // [rows, heads, head_dim]
  Buffer<float> kv_;                   // [rows, keys then values]
  Buffer<bf16> rounded_;               // [rows, keys then values]
  Buffer<float> attended_;             // [rows, heads, head_dim]
  std::vector<Memory> thread_memory_;  // [threads]
};

}  // namespace moemill::cpu
