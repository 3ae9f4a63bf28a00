// What both forms share: projections, the cache rows, the output projection. The forms themselves are in
// mla_prompts.cpp and mla_generated.cpp.
#include "layers/mla.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/rows.hpp"

namespace moemill::layers {

namespace {
// Rows of a wide matrix whose stride is a multiple of 4 KiB would fall on the same cache sets.
std::size_t padded_stride(std::size_t width) { return (width + 15) / 16 * 16 + 16; }
}  // namespace

Mla::Mla(cpu::Stream& stream, const model::ModelConfig& config, KvCache& cache)
    : stream_(stream),
      mla_(config.mla),
      hidden_(config.hidden),
      pairs_(config.rope.pairs),
      cache_(cache),
      query_stride_(padded_stride(config.mla.heads * (config.mla.qk_nope_dim + config.mla.qk_rope_dim))),
      attended_stride_(padded_stride(config.mla.heads * config.mla.v_dim)),
      absorbed_stride_(padded_stride(config.mla.heads * config.mla.kv_lora_rank)),
      thread_memory_(static_cast<std::size_t>(stream.team().size())) {}

void Mla::reserve(std::size_t rows) {
  const std::size_t low = std::max<std::size_t>(mla_.q_lora_rank, cache_.width());
  low_.reserve(rows * low);
  low_rounded_.reserve(rows * low);
  query_.reserve(rows * query_stride_);
  attended_.reserve(rows * attended_stride_);
  reserve_prompts((rows + cpu::attention_lanes - 1) / cpu::attention_lanes);
  reserve_generated(rows);
}

std::uint64_t Mla::workspace_bytes() const {
  std::uint64_t bytes = low_.capacity_bytes() + low_rounded_.capacity_bytes() + query_.capacity_bytes() +
                        attended_.capacity_bytes() + keys_.capacity_bytes() + values_.capacity_bytes() +
                        states_.capacity_bytes() + absorbed_.capacity_bytes();
  for (const auto& memory : thread_memory_) bytes += memory.capacity_bytes();
  return bytes;
}

void Mla::run(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan, const bf16* normed,
              float* out) {
  if (plan.rows == 0) return;
  reserve(plan.rows);
  append(weights, layer, plan, normed);
  project_queries(weights, plan, normed);
  attend_generated(weights, layer, plan);
  attend_prompts(weights, layer, plan);
  cpu::gemm(stream_, cpu::RowsF32{attended_.data(), attended_stride_}, plan.rows, weights.out, out, hidden_);
}

void Mla::append(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan, const bf16* normed) {
  const std::size_t width = cache_.width(), latent = mla_.kv_lora_rank;
  float* kv = low_.data();
  bf16* rounded = low_rounded_.data();
  cpu::gemm(stream_, cpu::RowsBf16{normed, hidden_}, plan.rows, weights.kv_a, kv, width);
  cpu::rms_norm(stream_, kv, width, plan.rows, latent, weights.kv_a_norm, mla_.latent_norm_eps, rounded, width, nullptr,
                0);
  cpu::rotate(stream_, kv + latent, width, mla_.qk_rope_dim, plan.rows, 1, mla_.qk_rope_dim, plan.cosine.data(),
              plan.sine.data(), pairs_);
  cpu::round_rows(stream_, kv + latent, width, plan.rows, mla_.qk_rope_dim, rounded + latent, width);
  bf16* cache = cache_.layer(layer);
  const auto& slots = plan.slots[static_cast<std::size_t>(schedule::PageGroup::Full)];
  for (std::size_t r = 0; r < plan.rows; ++r) {
    std::memcpy(cache + slots[r] * width, rounded + r * width, width * sizeof(bf16));
  }
}

void Mla::project_queries(const model::MlaWeights& weights, const AttentionPlan& plan, const bf16* normed) {
  float* query = query_.data();
  if (mla_.q_lora_rank == 0) {
    cpu::gemm(stream_, cpu::RowsBf16{normed, hidden_}, plan.rows, weights.q, query, query_stride_);
  } else {
    const std::size_t width = mla_.q_lora_rank;
    cpu::gemm(stream_, cpu::RowsBf16{normed, hidden_}, plan.rows, weights.q_a, low_.data(), width);
    cpu::rms_norm(stream_, low_.data(), width, plan.rows, width, weights.q_a_norm, mla_.latent_norm_eps,
                  low_rounded_.data(), width, nullptr, 0);
    cpu::gemm(stream_, cpu::RowsBf16{low_rounded_.data(), width}, plan.rows, weights.q_b, query, query_stride_);
  }
  cpu::rotate(stream_, query + mla_.qk_nope_dim, query_stride_, key_width(), plan.rows, mla_.heads, mla_.qk_rope_dim,
              plan.cosine.data(), plan.sine.data(), pairs_);
}

std::size_t Mla::tile_floats(std::size_t key_width, std::size_t value_width) {
  return (key_width + value_width + 2) * cpu::attention_lanes;
}

// Pointers into the tile's own `first` and `last` are set by the caller, when the tile lies where it stays.
Mla::Tile Mla::place_tile(float* memory, std::size_t used, std::size_t key_width, std::size_t value_width) {
  Tile tile{};
  const std::size_t lanes = used <= 16 ? 16 : cpu::attention_lanes;
  tile.query = memory;
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

}  // namespace moemill::layers
