#include "layers/cpu/attention/latent_tiles.hpp"

#include <algorithm>

#include "base/numbers/rounding.hpp"
#include "kernels/cpu/attention_lanes.hpp"

namespace moemill::cpu {

namespace {

using layers::Run;
using schedule::page_tokens;
using schedule::RowKind;

class WaveFiller {
 public:
  WaveFiller(const AttentionPlan& plan, LatentTiles& tiles)
      : pages_(plan.pages[static_cast<std::size_t>(schedule::PageGroup::Full)]), tiles_(tiles) {}

  // A run that spans several waves keeps its tiles in memory between them, one state per tile (Visit::state). The run
  // may end, and the next one begin, in the same wave, so consecutive runs alternate between two sets of states.
  void add(const Run& run, std::uint32_t states_per_set) {
    const std::uint32_t end = run.first_position + run.rows;
    for (std::uint32_t from = 0; from < end;) {
      if (tiles_.waves.empty() || wave_keys - tiles_.waves.back().keys < page_tokens) begin_wave();
      const std::uint32_t room = (wave_keys - tiles_.waves.back().keys) / page_tokens * page_tokens;
      const std::uint32_t to = std::min(end, from + room);
      if (from == 0 && to < end) state_set_ = 1 - state_set_;
      add_visits(run, from, to, state_set_ * states_per_set);
      for (std::uint32_t p = from; p < to; ++p) tiles_.key_slots.push_back(layers::slot_of(pages_, run.first_page, p));
      tiles_.waves.back().keys += to - from;
      from = to;
    }
  }

 private:
  void begin_wave() {
    tiles_.waves.push_back(
        {static_cast<std::uint32_t>(tiles_.key_slots.size()), 0, static_cast<std::uint32_t>(tiles_.visits.size()), 0});
  }

  void add_visits(const Run& run, std::uint32_t from, std::uint32_t to, std::uint32_t first_state) {
    Wave& wave = tiles_.waves.back();
    for (std::uint32_t done = 0, tile = 0; done < run.rows; done += attention_lanes, ++tile) {
      const std::uint32_t queries = std::min<std::uint32_t>(attention_lanes, run.rows - done);
      const std::uint32_t last = run.first_position + done + queries - 1;
      if (last < from) continue;
      tiles_.visits.push_back({.tile = {run.row + done, queries, run.first_position + done},
                               .first_key = wave.keys,
                               .keys = std::min(to, last + 1) - from,
                               .first_position = from,
                               .opens = from == 0,
                               .closes = last < to,
                               .state = first_state + tile});
      ++wave.visits;
    }
  }

  const std::vector<PageId>& pages_;
  LatentTiles& tiles_;
  std::uint32_t state_set_ = 0;
};

}  // namespace

void make_tiles(const AttentionPlan& plan, LatentTiles& tiles) {
  tiles.generated.clear(), tiles.key_slots.clear(), tiles.visits.clear(), tiles.waves.clear();
  tiles.work.assign(1, 0);
  std::uint32_t states_per_set = 0;
  for (const Run& run : plan.runs) {
    if (run.kind == RowKind::Prompt) {
      states_per_set = std::max<std::uint32_t>(states_per_set, divide_up<std::size_t>(run.rows, attention_lanes));
      continue;
    }
    for (std::uint32_t i = 0; i < run.rows; ++i) {
      tiles.generated.push_back({run.row + i, run.first_position + i, run.first_page});
      tiles.work.push_back(tiles.work.back() + (run.first_position + i) / page_tokens + 1);
    }
  }
  tiles.states = 2 * states_per_set;
  WaveFiller filler(plan, tiles);
  for (const Run& run : plan.runs) {
    if (run.kind == RowKind::Prompt) filler.add(run, states_per_set);
  }
}

}  // namespace moemill::cpu
