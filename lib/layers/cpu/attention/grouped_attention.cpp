#include "layers/cpu/attention/grouped_attention.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "kernels/cpu/attention_pages.hpp"
#include "kernels/gemm.hpp"
#include "layers/cpu/attention/padded_stride.hpp"

namespace moemill::cpu {

namespace {

using schedule::page_tokens;

// Rows (queries times heads of a group) of a tile at most, where a query has no more heads: several full register
// tiles for each reading of a page, while their queries and outputs stay in L2.
constexpr std::size_t tile_rows = 112;

// Pages of a walk between two looks at what else wants attention: a page may take no more than two microseconds.
constexpr std::uint32_t pages_between_looks = 8;
// The same for rows of a head that go into the cache.
constexpr std::size_t appended_between_looks = 256;

}  // namespace

GroupedAttention::GroupedAttention(Stream& stream, const model::ModelConfig& config, KvCache& cache)
    : stream_(stream),
      gqa_(config.gqa),
      norm_eps_(config.norm_eps),
      rope_dim_(config.rope.dim),
      pairs_(config.rope.pairs),
      cache_(cache),
      query_width_(std::size_t{config.gqa.heads} * config.gqa.head_dim),
      kv_width_(std::size_t{config.gqa.kv_heads} * config.gqa.head_dim),
      query_stride_(padded_stride(query_width_)),
      kv_stride_(padded_stride(2 * kv_width_)),
      thread_memory_(static_cast<std::size_t>(stream.team().size())) {
  expect(gqa_.kv_heads > 0 && gqa_.heads % gqa_.kv_heads == 0 && rope_dim_ <= gqa_.head_dim,
         "grouped attention: heads are groups of the key-value heads");
  const std::size_t rows = queries_per_tile() * heads_per_kv_head();
  for (Memory& m : thread_memory_) {
    m.query.reserve(attention_query_floats(rows, gqa_.head_dim)), m.output.reserve(rows * whole_vectors(gqa_.head_dim));
    m.maximum.reserve(rows), m.sum.reserve(rows), m.first.reserve(rows), m.last.reserve(rows);
  }
}

std::size_t GroupedAttention::queries_per_tile() const {
  return std::max<std::size_t>(1, tile_rows / heads_per_kv_head());
}

void GroupedAttention::reserve(std::size_t rows) {
  query_.reserve(rows * query_stride_);
  kv_.reserve(rows * kv_stride_);
  rounded_.reserve(rows * 2 * kv_width_);
  attended_.reserve(rows * query_stride_);
}

void GroupedAttention::make_tiles(const AttentionPlan& plan, GroupedTiles& tiles) const {
  cpu::make_tiles(plan, static_cast<std::uint32_t>(queries_per_tile()), gqa_.window, tiles);
}

std::uint64_t GroupedAttention::workspace_bytes() const {
  std::uint64_t bytes =
      query_.capacity_bytes() + kv_.capacity_bytes() + rounded_.capacity_bytes() + attended_.capacity_bytes();
  for (const Memory& m : thread_memory_) {
    bytes += m.query.capacity_bytes() + m.output.capacity_bytes() + m.maximum.capacity_bytes() +
             m.sum.capacity_bytes() + m.first.capacity_bytes() + m.last.capacity_bytes();
  }
  return bytes;
}

void GroupedAttention::run(const model::GqaWeights& weights, LayerId layer, const AttentionPlan& plan,
                           const GroupedTiles& tiles, Rows<const float> normed, Rows<float> out) {
  if (plan.rows == 0) return;
  reserve(plan.rows);
  const schedule::PageGroup group = cache_.group(layer);
  const Job job{weights,
                layer,
                plan,
                tiles,
                static_cast<std::size_t>(group),
                group == schedule::PageGroup::Window ? gqa_.window : 0};
  project(job, normed);
  append(job);
  attend(job);
  const auto finish = [&](const GemmPart& part) { add_bias(stream_, part, out, weights.out_bias); };
  gemm(stream_, attended(plan.rows), weights.out, out, weights.out_bias ? GemmEpilogue(finish) : GemmEpilogue());
}

void GroupedAttention::project(const Job& job, Rows<const float> normed) {
  const model::GqaWeights& weights = job.weights;
  const Rows<float> query = this->query(job.plan.rows), kv = keys_and_values(job.plan.rows);
  const Rows<float> key = kv.columns(0, kv_width_), value = kv.columns(kv_width_, kv_width_);
  const GemmProblem<float> products[] = {
      {normed, weights.q, query, {}}, {normed, weights.k, key, {}}, {normed, weights.v, value, {}}};
  const Rows<float> outputs[] = {query, key, value};
  const Vector<const float> biases[] = {weights.q_bias, weights.k_bias, weights.v_bias};
  const auto finish = [&](const GemmPart& part) {
    add_bias(stream_, part, outputs[part.problem], biases[part.problem]);
  };
  gemm_grouped(stream_, products, weights.q_bias ? GemmEpilogue(finish) : GemmEpilogue());
  norm(query, weights.q_norm);
  norm(key, weights.k_norm);
  if (gqa_.clip != 0) {
    clamp_rows(stream_, query, gqa_.clip);
    clamp_rows(stream_, kv, gqa_.clip);
  }
  const Rows<const float> cosine = job.plan.cosine(), sine = job.plan.sine();
  rotate(stream_, {query.columns(0, rope_dim_), gqa_.heads, gqa_.head_dim}, cosine, sine, pairs_);
  rotate(stream_, {key.columns(0, rope_dim_), gqa_.kv_heads, gqa_.head_dim}, cosine, sine, pairs_);
}

void GroupedAttention::norm(Rows<float> x, Vector<const float> weight) {
  if (!weight) return;
  const PassScope scope(stream_.passes(), Pass::Norms);
  for (std::size_t first = 0; first < x.width; first += weight.size) {
    const Rows<float> part = x.columns(first, weight.size);
    rms_norm(stream_, part, weight, norm_eps_, {}, part);
  }
}

// A 32-bit word has two dimensions of one key; but two rows may write the two halves of a word of values, so these are
// stored one bf16 at a time.
void GroupedAttention::append(const Job& job) {
  const std::size_t rows = job.plan.rows, width = 2 * kv_width_;
  const auto& slots = job.plan.slots[job.group];
  expect(slots.size() == rows, "step: rows have pages in the group of every layer");
  const Rows<bf16> rounded = rounded_.rows(rows, width);
  round_rows(stream_, keys_and_values(rows), rounded);
  const Rows<bf16> cache = cache_.layer(job.layer);
  const GroupedPage page{gqa_.head_dim};
  stream_.team().parallel_for(gqa_.kv_heads * rows, 1, [&](std::size_t begin, std::size_t end, int thread) {
    for (std::size_t i = begin; i < end; ++i) {
      if (i % appended_between_looks == 0) stream_.between_pieces(thread);
      const std::size_t head = i / rows, row = i % rows, token = slots[row] % page_tokens;
      const bf16* key = rounded.row(row) + head * gqa_.head_dim;
      bf16* to = cache.row(slots[row] - token);
      for (std::size_t d = 0; d + 1 < gqa_.head_dim; d += 2) {
        std::memcpy(to + page.key(head, token, d), key + d, 2 * sizeof(bf16));
      }
      if (const std::size_t d = gqa_.head_dim - 1; d % 2 == 0) to[page.key(head, token, d)] = key[d];
      for (std::size_t d = 0; d < gqa_.head_dim; ++d) to[page.value(head, token, d)] = key[kv_width_ + d];
    }
  });
}

// Walks are numbered by key-value head, and within one by tile.
GroupedAttention::Walk GroupedAttention::walk_of(const Job& job, std::size_t index) const {
  const GroupedTile& tile = job.tiles.tiles[index % job.tiles.tiles.size()];
  const PageRange pages = pages_seen(tile, job.window);
  return {&tile, index / job.tiles.tiles.size(), pages.begin, pages.end};
}

const bf16* GroupedAttention::page_at(const Job& job, const Walk& walk) const {
  const PageId page = job.plan.pages[job.group][walk.tile->first_page + walk.page];
  expect(page.value >= 0, "step: a page that a row sees was given back");
  return cache_.layer(job.layer).row(token_slot(page, 0)) + GroupedPage{gqa_.head_dim}.head(walk.kv_head);
}

// Goes through the key-value heads in order, and through all tiles of each. Threads get equal shares of the work; a
// share begins and ends between two tiles.
void GroupedAttention::attend(const Job& job) {
  const PassScope scope(stream_.passes(), Pass::Attention);
  const auto threads = static_cast<std::size_t>(stream_.team().size());
  const std::vector<std::uint64_t>& work = job.tiles.work[job.group];
  const std::uint64_t all = work.back();
  // The first walk that begins at or behind share / threads of all work.
  const auto cut = [&](std::size_t share) {
    const std::uint64_t at = all * gqa_.kv_heads * share / threads;
    const auto tile = std::lower_bound(work.begin(), work.end(), at % all) - work.begin();
    return at / all * job.tiles.tiles.size() + static_cast<std::size_t>(tile);
  };
  stream_.team().parallel_for(threads, 1, [&](std::size_t begin, std::size_t end, int thread) {
    const std::size_t first = cut(begin), last = cut(end);
    for (std::size_t i = first; i < last; ++i) {
      const PageAhead after = i + 1 < last ? start_of(job, walk_of(job, i + 1)) : PageAhead{};
      follow(job, walk_of(job, i), after, thread);
    }
  });
}

// The first page of a walk, and the queries of its first row.
PageAhead GroupedAttention::start_of(const Job& job, const Walk& walk) {
  const std::size_t values = heads_per_kv_head() * gqa_.head_dim;
  return {page_at(job, walk), {query(job.plan.rows).row(walk.tile->row) + walk.kv_head * values, values}};
}

// after: what to prefetch during the walk's last page.
void GroupedAttention::follow(const Job& job, const Walk& walk, const PageAhead& after, int thread) {
  Memory& memory = thread_memory_[static_cast<std::size_t>(thread)];
  const std::size_t heads = heads_per_kv_head(), dim = gqa_.head_dim, rows = walk.tile->queries * heads;
  std::uint32_t *first = memory.first.data(), *last = memory.last.data();
  AttentionRows tile{.rows = rows,
                     .head_dim = dim,
                     .output_stride = whole_vectors(dim),
                     .query = memory.query.data(),
                     .first = first,
                     .last = last,
                     .maximum = memory.maximum.data(),
                     .sum = memory.sum.data(),
                     .output = memory.output.data()};
  for (std::size_t r = 0; r < rows; ++r) {
    last[r] = walk.tile->first_position + static_cast<std::uint32_t>(r / heads);
    first[r] = job.window && last[r] >= job.window ? last[r] - job.window + 1 : 0;
  }
  Vector<const float> sinks = job.weights.sinks;
  if (sinks) sinks = sinks.range(walk.kv_head * heads, heads);
  const std::size_t at_head = walk.kv_head * heads * dim;
  const float* queries = query(job.plan.rows).row(walk.tile->row) + at_head;
  attention_begin(stream_, tile, {queries, heads, query_stride_}, gqa_.softmax_scale, sinks);
  Walk at = walk;
  for (const bf16* page = page_at(job, at); page;) {
    const std::uint32_t position = at.page * page_tokens;
    const bf16* next = ++at.page < at.end ? page_at(job, at) : nullptr;
    attention_page(stream_, tile, page, position, next ? PageAhead{next} : after);
    page = next;
    if (at.page % pages_between_looks == 0) stream_.between_pieces(thread);
  }
  stream_.between_pieces(thread);
  attention_end(stream_, tile, {attended(job.plan.rows).row(walk.tile->row) + at_head, heads, query_stride_});
}

}  // namespace moemill::cpu
