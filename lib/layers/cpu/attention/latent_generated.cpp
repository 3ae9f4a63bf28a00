// The absorbed form. The heads of a token are the lanes; a cached page is widened once and serves as keys and values of
// all heads.
#include <algorithm>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "layers/cpu/attention/latent_attention.hpp"

namespace moemill::cpu {

namespace {

using schedule::page_tokens;

// Generated rows taken through the absorbed form together: enough for the products' full rate, few enough that queries
// in latent space (heads * kv_lora values per row) stay small.
constexpr std::size_t rows_at_a_time = 256;

std::size_t tiles_of(std::size_t heads) { return divide_up(heads, attention_lanes); }

void prefetch(const void* data, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(data) + i, 0, 2);
}

}  // namespace

void LatentAttention::reserve_generated(std::size_t rows) {
  absorbed_.reserve(std::min(rows, rows_at_a_time) * absorbed_stride_);
  const std::size_t tiles = tiles_of(mla_.heads) * tile_floats(cache_.width(), mla_.kv_lora_rank);
  for (auto& memory : thread_memory_) memory.reserve(page_tokens * cache_.width() + tiles);
}

Rows<float> LatentAttention::absorbed(std::size_t rows, std::size_t head) {
  return absorbed_.rows(rows, std::size_t{mla_.heads} * mla_.kv_lora_rank, absorbed_stride_)
      .columns(head * mla_.kv_lora_rank, mla_.kv_lora_rank);
}

void LatentAttention::attend_generated(const Job& job) {
  const std::size_t tiles = tiles_of(mla_.heads), generated = job.tiles.generated.size();
  for (std::size_t first = 0; first < generated; first += rows_at_a_time) {
    const std::size_t rows = std::min(rows_at_a_time, generated - first);
    absorb(job, first, rows);
    PassScope scope(stream_.passes(), Pass::Attention);
    stream_.team().parallel_for(rows * tiles, 1, [&](std::size_t begin, std::size_t end, int thread) {
      float* own = thread_memory_[thread].data();
      for (std::size_t i = begin; i < end;) {
        const std::size_t stop = std::min(end, (i / tiles + 1) * tiles);  // the rest of this row's tiles
        read_pages(job, first, i / tiles, i % tiles, i % tiles + (stop - i), own);
        i = stop;
        if (thread == 0) stream_.between_pieces();
      }
    });
    scope.change(Pass::Projections);
    products_.clear();
    for (std::size_t h = 0; h < mla_.heads; ++h) {
      products_.push_back({absorbed(rows, h), job.weights.value_up[h], attended(first, rows, h), {}});
    }
    gemm_grouped(stream_, products_);
  }
}

// Generated rows are the first ones of a plan, so row i of them is row i of query_.
void LatentAttention::absorb(const Job& job, std::size_t first_row, std::size_t rows) {
  products_.clear();
  for (std::size_t h = 0; h < mla_.heads; ++h) {
    const Rows<float> unrotated = query(first_row, rows, h).columns(0, mla_.qk_nope_dim);
    products_.push_back({unrotated, job.weights.key_absorb[h], absorbed(rows, h), {}});
  }
  gemm_grouped(stream_, products_);
}

// Tiles [first_tile, end_tile) of generated row first_row + index: queries from absorbed_ and query_, outputs back to
// absorbed_.
void LatentAttention::read_pages(const Job& job, std::size_t first_row, std::size_t index, std::size_t first_tile,
                                 std::size_t end_tile, float* memory) {
  const GeneratedRow& token = job.tiles.generated[first_row + index];
  const std::size_t width = cache_.width(), latent = mla_.kv_lora_rank;
  // [heads, width] of this row
  const Rows<const float> rotated{query_.data() + token.row * query_stride_ + mla_.qk_nope_dim, mla_.heads,
                                  mla_.qk_rope_dim, key_width()};
  const Rows<float> absorbed{absorbed_.data() + index * absorbed_stride_, mla_.heads, latent};
  float* tiles = memory + page_tokens * width;

  const auto tile_of = [&](std::size_t t) {
    const std::size_t used = std::min<std::size_t>(attention_lanes, mla_.heads - t * attention_lanes);
    Tile tile = place_tile(tiles + (t - first_tile) * tile_floats(width, latent), used, width, latent);
    std::fill_n(tile.first, used, 0u);
    std::fill_n(tile.last, used, token.position);
    return std::pair(tile, used);
  };
  for (std::size_t t = first_tile; t < end_tile; ++t) {
    auto [tile, used] = tile_of(t);
    const std::size_t head = t * attention_lanes;
    lanes_in(stream_, absorbed.range(head, used), mla_.softmax_scale, tile.query.range(0, latent));
    lanes_in(stream_, rotated.range(head, used), mla_.softmax_scale, tile.query.range(latent, mla_.qk_rope_dim));
    attention_begin(stream_, tile.lanes);
  }
  const PageId* pages = job.plan.pages[static_cast<std::size_t>(schedule::PageGroup::Full)].data() + token.first_page;
  const Rows<const bf16> cache = cache_.layer(job.layer);
  for (std::uint32_t p = 0; p <= token.position; p += page_tokens) {
    const std::size_t tokens = std::min<std::size_t>(page_tokens, token.position + 1 - p);
    const Rows<float> page{memory, tokens, width};
    expect(pages[p / page_tokens].value >= 0, "step: a page that a row sees was given back");
    widen_rows(stream_, cache.range(token_slot(pages[p / page_tokens], 0), tokens), page);
    if (p + page_tokens <= token.position) {
      prefetch(cache.row(token_slot(pages[p / page_tokens + 1], 0)), page_tokens * width * sizeof(bf16));
    }
    for (std::size_t t = first_tile; t < end_tile; ++t) {
      auto [tile, used] = tile_of(t);
      tile.lanes.first = tile.first;
      tile.lanes.last = tile.last;
      attention_block(stream_, tile.lanes, page, page, p);
    }
  }
  for (std::size_t t = first_tile; t < end_tile; ++t) {
    auto [tile, used] = tile_of(t);
    attention_end(stream_, tile.lanes);
    lanes_out(stream_, tile.output(), absorbed.range(t * attention_lanes, used));
  }
}

}  // namespace moemill::cpu
