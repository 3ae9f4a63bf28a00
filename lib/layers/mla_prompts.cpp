// The expanded form. For each group of heads (one a thread) and each wave of cached positions: keys and values of the
// wave are made once, then every tile of queries that sees them takes them in, page by page.
#include <algorithm>

#include "layers/mla.hpp"

namespace moemill::layers {

using schedule::page_tokens;

// One a thread: a head's keys and values of a wave stay in the cache of the thread that attends to them.
std::size_t Mla::heads_at_a_time() const {
  return std::min<std::size_t>(static_cast<std::size_t>(stream_.team().size()), mla_.heads);
}

// tiles: of the longest prompt segment; two sets of states live at a time.
void Mla::reserve_prompts(std::size_t tiles) {
  const std::size_t heads = heads_at_a_time(), tile_size = tile_floats(key_width(), mla_.v_dim);
  keys_.reserve(heads * wave_keys * key_width());
  values_.reserve(heads * wave_keys * mla_.v_dim);
  states_.reserve(heads * 2 * tiles * tile_size);
  for (auto& memory : thread_memory_) memory.reserve(tile_size);
}

void Mla::attend_prompts(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan) {
  if (plan.waves.empty()) return;
  const std::size_t group = heads_at_a_time();
  const std::size_t tile_size = tile_floats(key_width(), mla_.v_dim);
  for (std::size_t first_head = 0; first_head < mla_.heads; first_head += group) {
    const std::size_t heads = std::min<std::size_t>(group, mla_.heads - first_head);
    for (const Wave& wave : plan.waves) {
      expand(weights, layer, plan, wave, first_head, heads);
      stream_.team().parallel_for(heads * wave.visits, 1, [&](std::size_t begin, std::size_t end, int thread) {
        for (std::size_t i = begin; i < end; ++i) {
          const std::size_t place = i / wave.visits;
          const Visit& v = plan.visits[wave.first_visit + i % wave.visits];
          // A tile that ends where it begins needs no memory beyond this visit.
          float* state = v.opens && v.closes ? thread_memory_[thread].data()
                                             : states_.data() + (place * plan.states + v.state) * tile_size;
          visit(v, first_head + place, place, state);
        }
      });
      stream_.between_pieces();
    }
  }
}

void Mla::expand(const model::MlaWeights& weights, LayerId layer, const AttentionPlan& plan, const Wave& wave,
                 std::size_t first_head, std::size_t heads) {
  const bf16* cache = cache_.layer(layer);
  const TokenSlot* slots = plan.key_slots.data() + wave.first_slot;
  const cpu::RowsBf16 latents{cache, cache_.width(), slots};
  expansions_.clear();
  for (std::size_t i = 0; i < heads; ++i) {
    expansions_.push_back(
        {latents, wave.keys, weights.key_up[first_head + i], keys_.data() + i * wave_keys * key_width(), key_width()});
    expansions_.push_back({latents, wave.keys, weights.value_up[first_head + i],
                           values_.data() + i * wave_keys * mla_.v_dim, mla_.v_dim});
  }
  cpu::gemm_grouped(stream_, expansions_);
  // The rotary part is the same for all heads and comes as it is cached. Slots of a page follow each other.
  stream_.team().parallel_for(heads, 1, [&](std::size_t begin, std::size_t end, int) {
    for (std::size_t i = begin; i < end; ++i) {
      float* keys = keys_.data() + i * wave_keys * key_width() + mla_.qk_nope_dim;
      for (std::size_t from = 0, to = 0; from < wave.keys; from = to) {
        for (to = from + 1; to < wave.keys && slots[to] == slots[to - 1] + 1;) ++to;
        cpu::widen_rows(stream_, cache + slots[from] * cache_.width() + mla_.kv_lora_rank, cache_.width(), to - from,
                        mla_.qk_rope_dim, keys + from * key_width(), key_width());
      }
    }
  });
}

void Mla::visit(const Visit& visit, std::size_t head, std::size_t place, float* state) {
  const QueryTile& queries = visit.tile;
  Tile tile = place_tile(state, queries.queries, key_width(), mla_.v_dim);
  for (std::uint32_t i = 0; i < queries.queries; ++i) {
    tile.first[i] = 0;
    tile.last[i] = queries.first_position + i;
  }
  tile.lanes.first = tile.first;
  tile.lanes.last = tile.last;
  if (visit.opens) {
    cpu::lanes_in(stream_, query_.data() + queries.row * query_stride_ + head * key_width(), query_stride_,
                  queries.queries, key_width(), mla_.softmax_scale, tile.query, tile.lanes.lanes);
    cpu::attention_begin(stream_, tile.lanes);
  }
  const float* keys = keys_.data() + (place * wave_keys + visit.first_key) * key_width();
  const float* values = values_.data() + (place * wave_keys + visit.first_key) * mla_.v_dim;
  for (std::uint32_t t = 0; t < visit.keys; t += page_tokens) {
    cpu::attention_block(stream_, tile.lanes, keys + t * key_width(), key_width(), values + t * mla_.v_dim, mla_.v_dim,
                         std::min<std::size_t>(page_tokens, visit.keys - t), visit.first_position + t);
  }
  if (visit.closes) {
    cpu::attention_end(stream_, tile.lanes);
    cpu::lanes_out(stream_, tile.lanes.output, tile.lanes.lanes, queries.queries, mla_.v_dim,
                   attended_.data() + queries.row * attended_stride_ + head * mla_.v_dim, attended_stride_);
  }
}

}  // namespace moemill::layers
