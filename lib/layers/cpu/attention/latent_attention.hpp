// Multi-head latent attention over the paged latent cache, in both of its forms. Called through cpu::Attention
// once per layer and micro-batch. Prompt rows use the expanded form: keys and values of every head are made from the
// cached latents. Generated rows use the absorbed form: the query is projected into the latent space, and the latents
// serve as keys and values of all heads.
//
// Definition: projections take bf16 rows (the results of norms are rounded) and return fp32. The query stays in fp32,
// unrounded; it is multiplied by the softmax scale as it is written to the lanes of a tile. The latent is rounded to
// bf16 after its norm, the rotary key after its rotation, and both forms read these values from the cache, including
// those of the current rows. Expanded keys and values, absorbed queries, latent outputs and the heads' outputs are
// fp32; the output projection takes the heads' outputs unrounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.hpp"
#include "kernels/cpu/attention_lanes.hpp"
#include "kernels/cpu/stream.hpp"
#include "kernels/gemm.hpp"
#include "kernels/rows.hpp"
#include "layers/cpu/attention/kv_cache.hpp"
#include "layers/cpu/attention/latent_tiles.hpp"
#include "model/config.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::cpu {

class LatentAttention {
 public:
  LatentAttention(Stream& stream, const model::ModelConfig& config, KvCache& cache);

  // Reserves workspace for micro-batches of up to `rows` rows.
  void reserve(std::size_t rows);
  // Writes the rows' latents into the cache, then sets `out` to the attention's output. normed and out are
  // [rows, hidden].
  void run(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan, const LatentTiles& tiles,
           Rows<const bf16> normed, Rows<float> out);
  std::uint64_t workspace_bytes() const;

 private:
  // The inputs of one layer's attention.
  struct Job {
    const model::MlaWeights& weights;
    LayerId layer;
    const AttentionPlan& plan;
    const LatentTiles& tiles;
  };
  // One tile of lanes in its memory, with the first and last position that each lane sees.
  struct Tile {
    AttentionTile lanes;
    Rows<float> query;  // [key width, lanes], the same memory as lanes.query
    std::uint32_t first[attention_lanes];
    std::uint32_t last[attention_lanes];

    Rows<const float> output() const { return {lanes.output, lanes.value_width, lanes.lanes}; }
  };
  static std::size_t tile_floats(std::size_t key_width, std::size_t value_width, std::size_t lanes);
  static Tile place_tile(float* memory, std::size_t used, std::size_t key_width, std::size_t value_width);

  // Both products of the normed rows: latents with rotary keys, and queries or their low rank.
  void project_down(const Job& job, Rows<const bf16> normed);
  void append(const Job& job);
  void project_queries(const Job& job);

  void reserve_prompts(std::size_t rows);
  void attend_prompts(const Job& job);
  void expand(const Job& job, const Wave& wave, std::size_t first_head, std::size_t heads);
  void visit(const Visit& visit, std::size_t head, std::size_t place, float* state);

  void reserve_generated(std::size_t rows);
  void attend_generated(const Job& job);
  void absorb(const Job& job, std::size_t first_row, std::size_t rows);
  // Tiles [begin, end) of generated rows from first_row on, numbered row by row.
  struct TileShare {
    std::size_t first_row, begin, end;
  };
  std::size_t cut(const Job& job, std::size_t first_row, std::size_t rows, std::size_t share) const;
  void read_share(const Job& job, const TileShare& share, int thread);
  // Tiles [begin, end) of the heads of a generated row, whose queries are at `absorbed` among those computed together.
  struct HeadTiles {
    std::size_t row, absorbed;
    std::size_t begin, end;
  };
  const bf16* page_at(const Job& job, const GeneratedRow& token, std::uint32_t page) const;
  void read_pages(const Job& job, const HeadTiles& heads, const bf16* after, int thread);

  std::size_t heads_at_a_time() const;
  std::size_t key_width() const { return mla_.qk_nope_dim + mla_.qk_rope_dim; }
  // The queries of one head for rows [first, first + rows).
  Rows<float> query(std::size_t first, std::size_t rows, std::size_t head);
  // The outputs of one head for rows [first, first + rows).
  Rows<float> attended(std::size_t first, std::size_t rows, std::size_t head);
  // The queries of one head in latent space, later replaced by its outputs there, for the first `rows` of the rows that
  // are computed together.
  Rows<float> absorbed(std::size_t rows, std::size_t head);
  // The keys of the head that is at `place` among those expanded together.
  Rows<float> keys(std::size_t place);
  // The values of the same head.
  Rows<float> values(std::size_t place);

  Stream& stream_;
  const model::Mla mla_;
  const RotaryPairs pairs_;
  KvCache& cache_;
  const std::size_t query_stride_;     // values per row of query_
  const std::size_t attended_stride_;  // values per row of attended_
  const std::size_t absorbed_stride_;  // values per row of absorbed_

  Buffer<float> low_;                         // [rows, kv_lora + rope]: down-projections before their norm
  Buffer<float> low_query_;                   // [rows, q_lora]: the same of queries
  Buffer<bf16> low_rounded_;                  // the values of one of them after the norm
  Buffer<float> query_;                       // [rows, heads, nope + rope]
  Buffer<float> attended_;                    // [rows, heads, v]
  Buffer<float> keys_;                        // [heads at a time, wave_keys, nope + rope]
  Buffer<float> values_;                      // [heads at a time, wave_keys, v]
  Buffer<float> states_;                      // [heads at a time, state_units, a tile of narrow_lanes]
  Buffer<float> absorbed_;                    // [rows at a time, heads, kv_lora]: queries, then outputs
  std::vector<Buffer<float>> thread_memory_;  // [threads] each holds the tiles of a token and scratch, or one tile
  std::vector<GemmProblem<bf16>> expansions_;
  std::vector<GemmProblem<float>> products_;
};

}  // namespace moemill::cpu
