#include "layers/gqa.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "kernels/attention_pages.hpp"
#include "kernels/gemm.hpp"

namespace moemill::layers {

namespace {

using schedule::page_tokens;

// Rows (queries times heads of a group) of a tile at most, where a query has no more heads: several full register
// tiles for each reading of a page, while their queries and outputs stay in L2.
constexpr std::size_t tile_rows = 112;

// Rows of a wide matrix whose stride is a multiple of 4 KiB would fall on the same cache sets.
std::size_t padded_stride(std::size_t width) { return (width + 15) / 16 * 16 + 16; }

std::size_t output_stride(std::size_t head_dim) { return (head_dim + 15) / 16 * 16; }

}  // namespace

Gqa::Gqa(cpu::Stream& stream, const model::ModelConfig& config, KvCache& cache)
    : stream_(stream),
      gqa_(config.gqa),
      hidden_(config.hidden),
      norm_eps_(config.norm_eps),
      rope_dim_(config.rope.dim),
      pairs_(config.rope.pairs),
      cache_(cache),
      kv_width_(std::size_t{config.gqa.kv_heads} * config.gqa.head_dim),
      query_stride_(padded_stride(std::size_t{config.gqa.heads} * config.gqa.head_dim)),
      kv_stride_(padded_stride(2 * kv_width_)),
      thread_memory_(static_cast<std::size_t>(stream.team().size())) {
  expect(gqa_.kv_heads > 0 && gqa_.heads % gqa_.kv_heads == 0 && rope_dim_ <= gqa_.head_dim,
         "grouped attention: heads are groups of the key-value heads");
  const std::size_t rows = queries_a_tile() * group();
  for (Memory& m : thread_memory_) {
    m.query.reserve(cpu::attention_query_floats(rows, gqa_.head_dim)),
        m.output.reserve(rows * output_stride(gqa_.head_dim));
    m.maximum.reserve(rows), m.sum.reserve(rows), m.first.reserve(rows), m.last.reserve(rows);
  }
}

std::size_t Gqa::queries_a_tile() const { return std::max<std::size_t>(1, tile_rows / group()); }

std::uint32_t Gqa::window_of(LayerId layer) const {
  return cache_.group(layer) == schedule::PageGroup::Window ? gqa_.window : 0;
}

void Gqa::reserve(std::size_t rows) {
  query_.reserve(rows * query_stride_);
  kv_.reserve(rows * kv_stride_);
  rounded_.reserve(rows * 2 * kv_width_);
  attended_.reserve(rows * query_stride_);
  tiles_.reserve(rows);
  work_.reserve(rows + 1);
}

std::uint64_t Gqa::workspace_bytes() const {
  std::uint64_t bytes = query_.capacity_bytes() + kv_.capacity_bytes() + rounded_.capacity_bytes() +
                        attended_.capacity_bytes() + tiles_.capacity() * sizeof(Tile) +
                        work_.capacity() * sizeof(std::uint64_t);
  for (const Memory& m : thread_memory_) {
    bytes += m.query.capacity_bytes() + m.output.capacity_bytes() + m.maximum.capacity_bytes() +
             m.sum.capacity_bytes() + m.first.capacity_bytes() + m.last.capacity_bytes();
  }
  return bytes;
}

void Gqa::run(const model::GqaWeights& weights, LayerId layer, const AttentionPlan& plan, const float* normed,
              float* out) {
  if (plan.rows == 0) return;
  reserve(plan.rows);
  project(weights, plan, normed);
  append(layer, plan);
  make_tiles(plan, window_of(layer));
  attend(weights.sinks, layer, plan);
  cpu::gemm(stream_, cpu::RowsF32{attended_.data(), query_stride_}, plan.rows, weights.out, out, hidden_);
  if (weights.out_bias) cpu::add_bias(stream_, out, hidden_, weights.out_bias, plan.rows, hidden_);
}

void Gqa::project(const model::GqaWeights& weights, const AttentionPlan& plan, const float* normed) {
  float *query = query_.data(), *key = kv_.data(), *value = key + kv_width_;
  const std::size_t rows = plan.rows, query_width = std::size_t{gqa_.heads} * gqa_.head_dim;
  const cpu::RowsF32 in{normed, hidden_};
  cpu::gemm(stream_, in, rows, weights.q, query, query_stride_);
  cpu::gemm(stream_, in, rows, weights.k, key, kv_stride_);
  cpu::gemm(stream_, in, rows, weights.v, value, kv_stride_);
  if (weights.q_bias) cpu::add_bias(stream_, query, query_stride_, weights.q_bias, rows, query_width);
  if (weights.k_bias) cpu::add_bias(stream_, key, kv_stride_, weights.k_bias, rows, kv_width_);
  if (weights.v_bias) cpu::add_bias(stream_, value, kv_stride_, weights.v_bias, rows, kv_width_);
  norm(query, query_stride_, gqa_.heads, rows, weights.q_norm);
  norm(key, kv_stride_, gqa_.kv_heads, rows, weights.k_norm);
  clip(query, query_stride_, query_width, rows);
  clip(key, kv_stride_, 2 * kv_width_, rows);
  rotate(query, query_stride_, gqa_.heads, plan);
  rotate(key, kv_stride_, gqa_.kv_heads, plan);
}

void Gqa::norm(float* x, std::size_t stride, std::size_t heads, std::size_t rows, const float* weight) {
  if (gqa_.qk_norm == model::QkNorm::None) return;
  const bool together = gqa_.qk_norm == model::QkNorm::AllHeads;
  const std::size_t norms = together ? 1 : heads, width = together ? heads * gqa_.head_dim : gqa_.head_dim;
  for (std::size_t h = 0; h < norms; ++h) {
    float* head = x + h * width;
    cpu::rms_norm(stream_, head, stride, rows, width, weight, norm_eps_, nullptr, 0, head, stride);
  }
}

void Gqa::clip(float* x, std::size_t stride, std::size_t width, std::size_t rows) {
  if (gqa_.clip == 0) return;
  stream_.team().parallel_for(rows, 1, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t r = begin; r < end; ++r) {
      for (float* p = x + r * stride; p != x + r * stride + width; ++p) *p = std::clamp(*p, -gqa_.clip, gqa_.clip);
    }
  });
}

void Gqa::rotate(float* x, std::size_t stride, std::size_t heads, const AttentionPlan& plan) {
  cpu::rotate(stream_, x, stride, gqa_.head_dim, plan.rows, heads, rope_dim_, plan.cosine.data(), plan.sine.data(),
              pairs_);
}

// Two rows may write halves of one 32-bit word of a value, hence bf16 by bf16.
void Gqa::append(LayerId layer, const AttentionPlan& plan) {
  const std::size_t width = 2 * kv_width_;
  const auto& slots = plan.slots[static_cast<std::size_t>(cache_.group(layer))];
  expect(slots.size() == plan.rows, "step: rows have pages in the group of every layer");
  cpu::round_rows(stream_, kv_.data(), kv_stride_, plan.rows, width, rounded_.data(), width);
  bf16* cache = cache_.layer(layer);
  const GroupedPage page{gqa_.head_dim};
  stream_.team().parallel_for(gqa_.kv_heads * plan.rows, 1, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t head = i / plan.rows, row = i % plan.rows, token = slots[row] % page_tokens;
      const bf16* key = rounded_.data() + row * width + head * gqa_.head_dim;
      bf16* to = cache + (slots[row] - token) * cache_.width();
      for (std::size_t d = 0; d < gqa_.head_dim; ++d) to[page.key(head, token, d)] = key[d];
      for (std::size_t d = 0; d < gqa_.head_dim; ++d) to[page.value(head, token, d)] = key[kv_width_ + d];
    }
  });
}

void Gqa::make_tiles(const AttentionPlan& plan, std::uint32_t window) {
  tiles_.clear();
  work_.assign(1, 0);
  const auto most = static_cast<std::uint32_t>(queries_a_tile());
  for (const Run& run : plan.runs) {
    for (std::uint32_t done = 0; done < run.rows; done += most) {
      const std::uint32_t queries = std::min(most, run.rows - done);
      tiles_.push_back({run.row + done, queries, run.first_position + done, run.first_page});
      const Walk walk = walk_of(tiles_.back(), 0, window);
      work_.push_back(work_.back() + std::uint64_t{queries} * (walk.end - walk.page));
    }
  }
}

Gqa::Walk Gqa::walk_of(const Tile& tile, std::size_t kv_head, std::uint32_t window) const {
  const std::uint32_t last = tile.first_position + tile.queries - 1;
  const std::uint32_t first = window && tile.first_position >= window ? tile.first_position - window + 1 : 0;
  return {&tile, kv_head, first / page_tokens, last / page_tokens + 1};
}

const bf16* Gqa::page_at(LayerId layer, const AttentionPlan& plan, const Walk& walk) const {
  const auto& pages = plan.pages[static_cast<std::size_t>(cache_.group(layer))];
  const PageId page = pages[walk.tile->first_page + walk.page];
  expect(page.value >= 0, "step: a page that a row sees was given back");
  return cache_.layer(layer) + token_slot(page, 0) * cache_.width() + GroupedPage{gqa_.head_dim}.head(walk.kv_head);
}

// Key-value heads one after the other, all tiles of each. Threads get equal shares of the work, cut between tiles.
void Gqa::attend(const float* sinks, LayerId layer, const AttentionPlan& plan) {
  const std::uint32_t window = window_of(layer);
  const auto threads = static_cast<std::size_t>(stream_.team().size());
  const std::uint64_t work = work_.back();
  // The first (head, tile) that begins at or behind share / threads of all work.
  const auto cut = [&](std::size_t share) {
    const std::uint64_t at = work * gqa_.kv_heads * share / threads;
    const auto tile = std::lower_bound(work_.begin(), work_.end(), at % work) - work_.begin();
    return at / work * tiles_.size() + static_cast<std::size_t>(tile);
  };
  stream_.team().parallel_for(threads, 1, [&](std::size_t begin, std::size_t end, int thread) {
    const std::size_t first = cut(begin), last = cut(end);
    for (std::size_t i = first; i < last; ++i) {
      const Walk walk = walk_of(tiles_[i % tiles_.size()], i / tiles_.size(), window);
      const bf16* after = nullptr;
      if (i + 1 < last) {
        after = page_at(layer, plan, walk_of(tiles_[(i + 1) % tiles_.size()], (i + 1) / tiles_.size(), window));
      }
      follow(walk, after, sinks, layer, plan, thread_memory_[static_cast<std::size_t>(thread)]);
      if (thread == 0) stream_.between_pieces();
    }
  });
}

// after: the page to be prefetched during the walk's last one, or null.
void Gqa::follow(const Walk& walk, const bf16* after, const float* sinks, LayerId layer, const AttentionPlan& plan,
                 Memory& memory) {
  const std::size_t heads = group(), dim = gqa_.head_dim, rows = walk.tile->queries * heads;
  const std::uint32_t window = window_of(layer);
  float* query = memory.query.data();
  std::uint32_t *first = memory.first.data(), *last = memory.last.data();
  cpu::AttentionRows tile{.rows = rows,
                          .head_dim = dim,
                          .output_stride = output_stride(dim),
                          .query = query,
                          .first = first,
                          .last = last,
                          .maximum = memory.maximum.data(),
                          .sum = memory.sum.data(),
                          .output = memory.output.data()};
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t row = walk.tile->row + r / heads, head = walk.kv_head * heads + r % heads;
    const float* from = query_.data() + row * query_stride_ + head * dim;
    for (std::size_t d = 0; d < dim; ++d) {
      constexpr std::size_t chunk = cpu::attention_query_chunk;
      query[(d / chunk * rows + r) * chunk + d % chunk] = from[d] * gqa_.softmax_scale;
    }
    last[r] = walk.tile->first_position + static_cast<std::uint32_t>(r / heads);
    first[r] = window && last[r] >= window ? last[r] - window + 1 : 0;
  }
  cpu::attention_begin(stream_, tile, sinks ? sinks + walk.kv_head * heads : nullptr, heads);
  Walk at = walk;
  for (const bf16* page = page_at(layer, plan, at); page;) {
    const std::uint32_t position = at.page * page_tokens;
    const bf16* next = ++at.page < at.end ? page_at(layer, plan, at) : nullptr;
    cpu::attention_page(stream_, tile, page, position, next ? next : after);
    page = next;
  }
  cpu::attention_end(stream_, tile);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t row = walk.tile->row + r / heads, head = walk.kv_head * heads + r % heads;
    std::copy_n(tile.output + r * tile.output_stride, dim, attended_.data() + row * query_stride_ + head * dim);
  }
}

}  // namespace moemill::layers
