// The expanded form. For each group of heads (one per thread) and each wave of cached positions: keys and values of the
// wave are made once, then every tile of queries that sees them takes them in, page by page, whichever prompt it is of.
#include <algorithm>

#include "layers/cpu/attention/latent_attention.hpp"

namespace moemill::cpu {

using schedule::page_tokens;

// One per thread: a head's keys and values of a wave stay in the cache of the thread that attends to them.
std::size_t LatentAttention::heads_at_a_time() const {
  return std::min<std::size_t>(static_cast<std::size_t>(stream_.team().size()), mla_.heads);
}

void LatentAttention::reserve_prompts(std::size_t rows) {
  const std::size_t heads = heads_at_a_time(), tile_size = tile_floats(key_width(), mla_.v_dim, attention_lanes);
  keys_.reserve(heads * wave_keys * key_width());
  values_.reserve(heads * wave_keys * mla_.v_dim);
  states_.reserve(heads * state_units(rows) * tile_floats(key_width(), mla_.v_dim, narrow_lanes));
  for (auto& memory : thread_memory_) memory.reserve(tile_size);
}

Rows<float> LatentAttention::keys(std::size_t place) {
  return {keys_.data() + place * wave_keys * key_width(), wave_keys, key_width()};
}
Rows<float> LatentAttention::values(std::size_t place) {
  return {values_.data() + place * wave_keys * mla_.v_dim, wave_keys, mla_.v_dim};
}

void LatentAttention::attend_prompts(const Job& job) {
  const std::size_t group = heads_at_a_time();
  const std::size_t unit = tile_floats(key_width(), mla_.v_dim, narrow_lanes);
  for (std::size_t first_head = 0; first_head < mla_.heads; first_head += group) {
    const std::size_t heads = std::min<std::size_t>(group, mla_.heads - first_head);
    for (const Wave& wave : job.tiles.waves) {
      expand(job, wave, first_head, heads);
      const PassScope scope(stream_.passes(), Pass::Attention);
      stream_.team().parallel_for(heads * wave.visits, 1, [&](std::size_t begin, std::size_t end, int thread) {
        for (std::size_t i = begin; i < end; ++i) {
          const std::size_t place = i / wave.visits;
          const Visit& v = job.tiles.visits[wave.first_visit + i % wave.visits];
          // A tile that ends where it begins needs no memory beyond this visit.
          float* state = v.opens && v.closes ? thread_memory_[thread].data()
                                             : states_.data() + (place * job.tiles.states + v.state) * unit;
          visit(v, first_head + place, place, state);
          stream_.between_pieces(thread);
        }
      });
    }
  }
}

void LatentAttention::expand(const Job& job, const Wave& wave, std::size_t first_head, std::size_t heads) {
  const Rows<const bf16> cache = cache_.layer(job.layer), latents = cache.columns(0, mla_.kv_lora_rank);
  const TokenSlot* slots = job.tiles.key_slots.data() + wave.first_slot;
  const Vector<const TokenSlot> index{slots, wave.keys};
  expansions_.clear();
  for (std::size_t i = 0; i < heads; ++i) {
    const Rows<float> key = keys(i).range(0, wave.keys), value = values(i).range(0, wave.keys);
    expansions_.push_back({latents, job.weights.key_up[first_head + i], key.columns(0, mla_.qk_nope_dim), index});
    expansions_.push_back({latents, job.weights.value_up[first_head + i], value, index});
  }
  gemm_grouped(stream_, expansions_);
  // The rotary part is the same for all heads and comes as it is cached. Slots of a page follow each other.
  stream_.team().parallel_for(heads, 1, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      const Rows<float> rotated = keys(i).columns(mla_.qk_nope_dim, mla_.qk_rope_dim);
      for (std::size_t from = 0, to = 0; from < wave.keys; from = to) {
        for (to = from + 1; to < wave.keys && slots[to] == slots[to - 1] + 1;) ++to;
        const Rows<const bf16> cached = cache.range(slots[from], to - from);
        widen_rows(stream_, cached.columns(mla_.kv_lora_rank, mla_.qk_rope_dim), rotated.range(from, to - from));
      }
    }
  });
}

void LatentAttention::visit(const Visit& visit, std::size_t head, std::size_t place, float* state) {
  const QueryTile& queries = visit.tile;
  Tile tile = place_tile(state, queries.queries, key_width(), mla_.v_dim);
  for (std::uint32_t i = 0; i < queries.queries; ++i) {
    tile.first[i] = 0;
    tile.last[i] = queries.first_position + i;
  }
  tile.lanes.first = tile.first;
  tile.lanes.last = tile.last;
  if (visit.opens) {
    lanes_in(stream_, query(queries.row, queries.queries, head), mla_.softmax_scale, tile.query);
    attention_begin(stream_, tile.lanes);
  }
  for (std::uint32_t t = 0; t < visit.keys; t += page_tokens) {
    const std::size_t tokens = std::min<std::size_t>(page_tokens, visit.keys - t);
    attention_block(stream_, tile.lanes, keys(place).range(visit.first_key + t, tokens),
                    values(place).range(visit.first_key + t, tokens), visit.first_position + t);
  }
  if (visit.closes) {
    attention_end(stream_, tile.lanes);
    lanes_out(stream_, tile.output(), attended(queries.row, queries.queries, head));
  }
}

}  // namespace moemill::cpu
