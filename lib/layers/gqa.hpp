// Grouped-query attention over the paged cache: windows, sinks, partial rotation, norms, biases, clipping. Called by
// layers/block once a layer and micro-batch. One form for prompt and generated rows: the queries of a tile times the
// heads that share a key-value head are the rows of kernels/attention_pages, and a cached page is read once for all of
// them.
//
// Definition: projections take the norm's fp32 rows, unrounded, and give fp32; biases join; norms of queries and keys,
// then clipping, then the rotation of the first rope.dim values of a head, all in fp32. The query stays fp32 and
// unrounded; the softmax scale joins it as it enters the kernel. Keys (after their rotation) and values are rounded to
// bf16 as they enter the cache, and are read back from it, also those of the rows at hand. The row at position t of a
// layer with window W sees t - W + 1 .. t. A sink is a score, unscaled, without a value: the running softmax begins
// with maximum = sink and sum = 1. The heads' outputs are fp32, unrounded, and so enter the output projection, whose
// bias joins its result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.hpp"
#include "kernels/rows.hpp"
#include "kernels/stream.hpp"
#include "layers/attention_plan.hpp"
#include "layers/kv_cache.hpp"
#include "model/config.hpp"
#include "weights/weights.hpp"

namespace moemill::layers {

class Gqa {
 public:
  Gqa(cpu::Stream& stream, const model::ModelConfig& config, KvCache& cache);

  // Workspace for micro-batches of up to that many rows.
  void reserve(std::size_t rows);
  // Writes the rows' keys and values into the cache, then out = attention. normed and out: [rows, hidden], may
  // be the same memory.
  void run(const model::GqaWeights& weights, LayerId layer, const AttentionPlan& plan, const float* normed, float* out);
  std::uint64_t workspace_bytes() const;

 private:
  // Consecutive queries of a sequence that go through its pages together.
  struct Tile {
    std::uint32_t row;  // of the plan
    std::uint32_t queries;
    std::uint32_t first_position;
    std::uint32_t first_page;  // into AttentionPlan::pages
  };
  // A tile's way through the pages of one key-value head.
  struct Walk {
    const Tile* tile;
    std::size_t kv_head;
    std::uint32_t page, end;  // of the sequence, those that any of its queries sees
  };
  // What a thread needs for one tile at a time.
  struct Memory {
    AlignedBuffer<float> query, maximum, sum, output;
    AlignedBuffer<std::uint32_t> first, last;
  };

  void project(const model::GqaWeights& weights, const AttentionPlan& plan, const float* normed);
  void norm(float* x, std::size_t stride, std::size_t heads, std::size_t rows, const float* weight);
  void clip(float* x, std::size_t stride, std::size_t width, std::size_t rows);
  void rotate(float* x, std::size_t stride, std::size_t heads, const AttentionPlan& plan);
  void append(LayerId layer, const AttentionPlan& plan);

  void make_tiles(const AttentionPlan& plan, std::uint32_t window);
  Walk walk_of(const Tile& tile, std::size_t kv_head, std::uint32_t window) const;
  const bf16* page_at(LayerId layer, const AttentionPlan& plan, const Walk& walk) const;
  void attend(const float* sinks, LayerId layer, const AttentionPlan& plan);
  void follow(const Walk& walk, const bf16* after, const float* sinks, LayerId layer, const AttentionPlan& plan,
              Memory& memory);

  std::size_t group() const { return gqa_.heads / gqa_.kv_heads; }
  std::size_t queries_a_tile() const;
  std::uint32_t window_of(LayerId layer) const;

  cpu::Stream& stream_;
  const model::Gqa gqa_;
  const std::size_t hidden_;
  const float norm_eps_;
  const std::size_t rope_dim_;
  const cpu::RotaryPairs pairs_;
  KvCache& cache_;
  const std::size_t kv_width_;      // values of all keys, or of all values, of a row
  const std::size_t query_stride_;  // values a row of query_ and attended_
  const std::size_t kv_stride_;     // of kv_

  AlignedBuffer<float> query_;     // [rows, heads, head_dim]
  AlignedBuffer<float> kv_;        // [rows, keys then values]
  AlignedBuffer<bf16> rounded_;    // [rows, keys then values]
  AlignedBuffer<float> attended_;  // [rows, heads, head_dim]
  std::vector<Tile> tiles_;
  std::vector<std::uint64_t> work_;    // [tiles + 1] of the tiles before, for one key-value head
  std::vector<Memory> thread_memory_;  // [threads]
};

}  // namespace moemill::layers
