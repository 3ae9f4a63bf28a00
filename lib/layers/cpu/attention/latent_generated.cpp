// The absorbed form. The heads of a token are the lanes; a cached page serves as keys and values of all heads.
#include <algorithm>
#include <array>
#include <span>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "layers/cpu/attention/latent_attention.hpp"

namespace moemill::cpu {

namespace {

using schedule::page_tokens;

// Generated rows taken through the absorbed form together: enough for the products' full rate, few enough that queries
// in latent space (heads * kv_lora values per row) stay small.
constexpr std::size_t rows_at_a_time = 256;

// Tiles of a token that take in a page together: as many as have their queries and scores in L2.
constexpr std::size_t tiles_together = 4;

std::size_t tiles_of(std::size_t heads) { return divide_up(heads, attention_lanes); }

}  // namespace

void LatentAttention::reserve_generated(std::size_t rows) {
  absorbed_.reserve(std::min(rows, rows_at_a_time) * absorbed_stride_);
  const std::size_t tiles = std::min(tiles_together, tiles_of(mla_.heads));
  const std::size_t floats =
      latent_scratch_floats(tiles) + tiles * tile_floats(cache_.width(), mla_.kv_lora_rank, attention_lanes);
  for (auto& memory : thread_memory_) memory.reserve(floats);
}

Rows<float> LatentAttention::absorbed(std::size_t rows, std::size_t head) {
  return absorbed_.rows(rows, std::size_t{mla_.heads} * mla_.kv_lora_rank, absorbed_stride_)
      .columns(head * mla_.kv_lora_rank, mla_.kv_lora_rank);
}

void LatentAttention::attend_generated(const Job& job) {
  const std::size_t generated = job.tiles.generated.size();
  for (std::size_t first = 0; first < generated; first += rows_at_a_time) {
    const std::size_t rows = std::min(rows_at_a_time, generated - first);
    absorb(job, first, rows);
    PassScope scope(stream_.passes(), Pass::Attention);
    // Threads get equal shares of the pages, cut between two tiles.
    const auto threads = static_cast<std::size_t>(stream_.team().size());
    stream_.team().parallel_for(threads, 1, [&](std::size_t begin, std::size_t end, int thread) {
      read_share(job, {first, cut(job, first, rows, begin), cut(job, first, rows, end)}, thread);
    });
    scope.change(Pass::Projections);
    products_.clear();
    for (std::size_t h = 0; h < mla_.heads; ++h) {
      products_.push_back({absorbed(rows, h), job.weights.value_up[h], attended(first, rows, h), {}});
    }
    gemm_grouped(stream_, products_);
  }
}

// Of the tiles of generated rows [first_row, first_row + rows), numbered row by row, the first one that begins at or
// behind share / threads of the pages that all of them read.
std::size_t LatentAttention::cut(const Job& job, std::size_t first_row, std::size_t rows, std::size_t share) const {
  const auto threads = static_cast<std::size_t>(stream_.team().size());
  const std::size_t tiles = tiles_of(mla_.heads);
  const std::uint64_t* before = job.tiles.work.data() + first_row;  // [rows + 1]
  const std::uint64_t at = (before[rows] - before[0]) * tiles * share / threads;
  const auto row =
      static_cast<std::size_t>(std::upper_bound(before, before + rows, before[0] + at / tiles) - before - 1);
  if (share == threads) return rows * tiles;
  const std::uint64_t pages = before[row + 1] - before[row];
  return row * tiles + divide_up(at - (before[row] - before[0]) * tiles, pages);
}

void LatentAttention::read_share(const Job& job, const TileShare& share, int thread) {
  const std::size_t tiles = tiles_of(mla_.heads);
  for (std::size_t i = share.begin; i < share.end;) {
    // What is left of this row's tiles, or as many as go together.
    const std::size_t stop = std::min({share.end, (i / tiles + 1) * tiles, i + tiles_together});
    const HeadTiles heads{share.first_row + i / tiles, i / tiles, i % tiles, i % tiles + (stop - i)};
    const bf16* after =
        stop < share.end ? page_at(job, job.tiles.generated[share.first_row + stop / tiles], 0) : nullptr;
    read_pages(job, heads, after, thread);
    i = stop;
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

const bf16* LatentAttention::page_at(const Job& job, const GeneratedRow& token, std::uint32_t page) const {
  const PageId id = job.plan.pages[static_cast<std::size_t>(schedule::PageGroup::Full)][token.first_page + page];
  expect(id.value >= 0, "step: a page that a row sees was given back");
  return cache_.layer(job.layer).row(token_slot(id, 0));
}

// Queries come from absorbed_ and query_, outputs go back to absorbed_. `after` is the page to prefetch during the last
// one, or null.
void LatentAttention::read_pages(const Job& job, const HeadTiles& heads, const bf16* after, int thread) {
  const GeneratedRow& token = job.tiles.generated[heads.row];
  float* memory = thread_memory_[static_cast<std::size_t>(thread)].data();
  const std::size_t width = cache_.width(), latent = mla_.kv_lora_rank, count = heads.end - heads.begin;
  // [heads, width] of this row
  const Rows<const float> rotated{query_.data() + token.row * query_stride_ + mla_.qk_nope_dim, mla_.heads,
                                  mla_.qk_rope_dim, key_width()};
  const Rows<float> absorbed{absorbed_.data() + heads.absorbed * absorbed_stride_, mla_.heads, latent};
  std::array<Tile, tiles_together> tiles;
  std::array<AttentionTile, tiles_together> lanes;
  const auto used = [&](std::size_t i) {
    return std::min<std::size_t>(attention_lanes, mla_.heads - (heads.begin + i) * attention_lanes);
  };
  float* tile_memory = memory + latent_scratch_floats(std::min(tiles_together, tiles_of(mla_.heads)));
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t head = (heads.begin + i) * attention_lanes;
    Tile& tile = tiles[i] =
        place_tile(tile_memory + i * tile_floats(width, latent, attention_lanes), used(i), width, latent);
    std::fill_n(tile.first, used(i), 0u);
    std::fill_n(tile.last, used(i), token.position);
    tile.lanes.first = tile.first;
    tile.lanes.last = tile.last;
    lanes_in(stream_, absorbed.range(head, used(i)), mla_.softmax_scale, tile.query.range(0, latent));
    lanes_in(stream_, rotated.range(head, used(i)), mla_.softmax_scale, tile.query.range(latent, mla_.qk_rope_dim));
    attention_begin(stream_, tile.lanes);
    lanes[i] = tile.lanes;
  }
  const bf16* page = page_at(job, token, 0);
  for (std::uint32_t p = 0; p <= token.position; p += page_tokens) {
    const std::size_t tokens = std::min<std::size_t>(page_tokens, token.position + 1 - p);
    const bf16* next = p + page_tokens <= token.position ? page_at(job, token, p / page_tokens + 1) : after;
    attention_latents(stream_, std::span(lanes).first(count), {page, width, tokens, p, next, memory});
    page = next;
    stream_.between_pieces(thread);
  }
  for (std::size_t i = 0; i < count; ++i) {
    attention_end(stream_, tiles[i].lanes);
    lanes_out(stream_, tiles[i].output(), absorbed.range((heads.begin + i) * attention_lanes, used(i)));
  }
}

}  // namespace moemill::cpu
