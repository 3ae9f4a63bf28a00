// Multi-head latent attention over the paged latent cache, in both of its forms. Called by layers/block once a layer
// and micro-batch. Prompt rows use the expanded form: keys and values of every head are made from the cached latents.
// Generated rows use the absorbed form: the query is brought into the latent space, and the latents are keys and values
// of all heads.
//
// Definition: projections take bf16 rows (norms are rounded) and give fp32. The query stays fp32 and unrounded; the
// softmax scale joins it as it enters the lanes. The latent is rounded to bf16 after its norm, the rotary key after its
// rotation, and every form reads these cached values, also those of the rows at hand. Expanded keys and values,
// absorbed queries, latent outputs and the heads' outputs are fp32, unrounded, and so enter the output projection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.hpp"
#include "kernels/attention.hpp"
#include "kernels/gemm.hpp"
#include "kernels/stream.hpp"
#include "layers/attention_plan.hpp"
#include "layers/kv_cache.hpp"
#include "model/config.hpp"
#include "weights/weights.hpp"

namespace moemill::layers {

class Mla {
 public:
  Mla(cpu::Stream& stream, const model::ModelConfig& config, KvCache& cache);

  // Workspace for micro-batches of up to that many rows.
  void reserve(std::size_t rows);
  // Writes the rows' latents into the cache, then out = attention. normed: [rows, hidden]; out: [rows, hidden].
  void run(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan, const bf16* normed, float* out);
  std::uint64_t workspace_bytes() const;

 private:
  // One tile of lanes: its memory, and the span of lanes in use.
  struct Tile {
    cpu::AttentionTile lanes;
    float* query;  // the same memory as lanes.query
    std::uint32_t first[cpu::attention_lanes];
    std::uint32_t last[cpu::attention_lanes];
  };
  static std::size_t tile_floats(std::size_t key_width, std::size_t value_width);
  static Tile place_tile(float* memory, std::size_t used, std::size_t key_width, std::size_t value_width);

  void project_queries(const model::MlaWeights& weights, const AttentionPlan& plan, const bf16* normed);
  void append(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan, const bf16* normed);

  void reserve_prompts(std::size_t tiles);
  void attend_prompts(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan);
  void expand(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan, const Wave& wave,
              std::size_t first_head, std::size_t heads);
  void visit(const Visit& visit, std::size_t head, std::size_t place, float* state);

  void reserve_generated(std::size_t rows);
  void attend_generated(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan);
  void absorb(const model::MlaWeights& weights, std::size_t first_row, std::size_t rows);
  void read_pages(LayerId layer, const AttentionPlan& plan, std::size_t first_row, std::size_t index,
                  std::size_t first_tile, std::size_t end_tile, float* memory);

  std::size_t heads_at_a_time() const;
  std::size_t key_width() const { return mla_.qk_nope_dim + mla_.qk_rope_dim; }

  cpu::Stream& stream_;
  const model::Mla mla_;
  const std::size_t hidden_;
  const cpu::RotaryPairs pairs_;
  KvCache& cache_;
  const std::size_t query_stride_;     // values a row of query_
  const std::size_t attended_stride_;  // of attended_
  const std::size_t absorbed_stride_;  // of absorbed_

  AlignedBuffer<float> low_;         // [rows, q_lora], then [rows, kv_lora + rope]: down-projections before their norm
  AlignedBuffer<bf16> low_rounded_;  // the same after it
  AlignedBuffer<float> query_;       // [rows, heads, nope + rope]
  AlignedBuffer<float> attended_;    // [rows, heads, v]
  AlignedBuffer<float> keys_;        // [heads at a time, wave_keys, nope + rope]
  AlignedBuffer<float> values_;      // [heads at a time, wave_keys, v]
  AlignedBuffer<float> states_;      // [heads at a time, states, tile]
  AlignedBuffer<float> absorbed_;    // [rows at a time, heads, kv_lora]: queries, then outputs
  std::vector<AlignedBuffer<float>> thread_memory_;  // [threads] a page and the tiles of a token, or one tile
  std::vector<cpu::GemmProblem<cpu::RowsBf16>> expansions_;
  std::vector<cpu::GemmProblem<cpu::RowsF32>> products_;
};

}  // namespace moemill::layers
