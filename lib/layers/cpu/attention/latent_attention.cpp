// What both forms share: projections, the cache rows, the output projection. The forms themselves are in
// latent_prompts.cpp and latent_generated.cpp.
#include "layers/cpu/attention/latent_attention.hpp"

#include <algorithm>
#include <cstring>

#include "layers/cpu/attention/padded_stride.hpp"

namespace moemill::cpu {

LatentAttention::LatentAttention(Stream& stream, const model::ModelConfig& config, KvCache& cache)
    : stream_(stream),
      mla_(config.mla),
      pairs_(config.rope.pairs),
      cache_(cache),
      query_stride_(padded_stride(config.mla.heads * (config.mla.qk_nope_dim + config.mla.qk_rope_dim))),
      attended_stride_(padded_stride(config.mla.heads * config.mla.v_dim)),
      absorbed_stride_(padded_stride(config.mla.heads * config.mla.kv_lora_rank)),
      thread_memory_(static_cast<std::size_t>(stream.team().size())) {}

void LatentAttention::reserve(std::size_t rows) {
  const std::size_t low = std::max<std::size_t>(mla_.q_lora_rank, cache_.width());
  low_.reserve(rows * cache_.width());
  low_query_.reserve(rows * mla_.q_lora_rank);
  low_rounded_.reserve(rows * low);
  query_.reserve(rows * query_stride_);
  attended_.reserve(rows * attended_stride_);
  reserve_prompts(rows);
  reserve_generated(rows);
}

std::uint64_t LatentAttention::workspace_bytes() const {
  std::uint64_t bytes = low_.capacity_bytes() + low_query_.capacity_bytes() + low_rounded_.capacity_bytes() +
                        query_.capacity_bytes() + attended_.capacity_bytes() + keys_.capacity_bytes() +
                        values_.capacity_bytes() + states_.capacity_bytes() + absorbed_.capacity_bytes();
  for (const auto& memory : thread_memory_) bytes += memory.capacity_bytes();
  return bytes;
}

void LatentAttention::run(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan,
                          const LatentTiles& tiles, Rows<const bf16> normed, Rows<float> out) {
  if (plan.rows == 0) return;
  reserve(plan.rows);
  const Job job{weights, layer, plan, tiles};
  project_down(job, normed);
  append(job);
  project_queries(job);
  attend_generated(job);
  attend_prompts(job);
  gemm(stream_, attended_.rows(plan.rows, std::size_t{mla_.heads} * mla_.v_dim, attended_stride_), weights.out, out);
}

void LatentAttention::project_down(const Job& job, Rows<const bf16> normed) {
  const std::size_t rows = job.plan.rows;
  const bool low = mla_.q_lora_rank > 0;
  const Rows<float> queries =
      low ? low_query_.rows(rows, mla_.q_lora_rank) : query_.rows(rows, mla_.heads * key_width(), query_stride_);
  const GemmProblem<bf16> products[] = {{normed, job.weights.kv_a, low_.rows(rows, cache_.width()), {}},
                                        {normed, low ? job.weights.q_a : job.weights.q, queries, {}}};
  gemm_grouped(stream_, products);
}

void LatentAttention::append(const Job& job) {
  const std::size_t rows = job.plan.rows, width = cache_.width(), latent = mla_.kv_lora_rank;
  const Rows<float> kv = low_.rows(rows, width), key = kv.columns(latent, mla_.qk_rope_dim);
  const Rows<bf16> rounded = low_rounded_.rows(rows, width);
  rms_norm(stream_, kv.columns(0, latent), job.weights.kv_a_norm, mla_.latent_norm_eps, rounded.columns(0, latent), {});
  rotate(stream_, {key, 1, 0}, job.plan.cosine(), job.plan.sine(), pairs_);
  round_rows(stream_, key, rounded.columns(latent, mla_.qk_rope_dim));
  const Rows<bf16> cache = cache_.layer(job.layer);
  const auto& slots = job.plan.slots[static_cast<std::size_t>(schedule::PageGroup::Full)];
  for (std::size_t r = 0; r < rows; ++r) std::memcpy(cache.row(slots[r]), rounded.row(r), width * sizeof(bf16));
}

void LatentAttention::project_queries(const Job& job) {
  const model::MlaWeights& weights = job.weights;
  const std::size_t rows = job.plan.rows;
  const Rows<float> all = query_.rows(rows, mla_.heads * key_width(), query_stride_);
  if (mla_.q_lora_rank > 0) {
    const Rows<bf16> rounded = low_rounded_.rows(rows, mla_.q_lora_rank);
    rms_norm(stream_, low_query_.rows(rows, mla_.q_lora_rank), weights.q_a_norm, mla_.latent_norm_eps, rounded, {});
    gemm(stream_, rounded, weights.q_b, all);
  }
  rotate(stream_, {all.columns(mla_.qk_nope_dim, mla_.qk_rope_dim), mla_.heads, key_width()}, job.plan.cosine(),
         job.plan.sine(), pairs_);
}

Rows<float> LatentAttention::query(std::size_t first, std::size_t rows, std::size_t head) {
  return {query_.data() + first * query_stride_ + head * key_width(), rows, key_width(), query_stride_};
}
Rows<float> LatentAttention::attended(std::size_t first, std::size_t rows, std::size_t head) {
  return {attended_.data() + first * attended_stride_ + head * mla_.v_dim, rows, mla_.v_dim, attended_stride_};
}

std::size_t LatentAttention::tile_floats(std::size_t key_width, std::size_t value_width, std::size_t lanes) {
  return (key_width + value_width + 2) * lanes;
}

// Pointers into the tile's own `first` and `last` are set by the caller, when the tile lies where it stays.
LatentAttention::Tile LatentAttention::place_tile(float* memory, std::size_t used, std::size_t key_width,
                                                  std::size_t value_width) {
  Tile tile{};
  const std::size_t lanes = used <= narrow_lanes ? narrow_lanes : attention_lanes;
  tile.query = {memory, key_width, lanes};
  tile.lanes = {.lanes = lanes,
                .key_width = key_width,
                .value_width = value_width,
                .query = memory,
                .first = nullptr,
                .last = nullptr,
                .maximum = memory + (key_width + value_width) * lanes,
                .sum = memory + (key_width + value_width + 1) * lanes,
                .output = memory + key_width * lanes};
  std::fill(std::begin(tile.first), std::end(tile.first), 1u);
  std::fill(std::begin(tile.last), std::end(tile.last), 0u);
  return tile;
}

}  // namespace moemill::cpu
