// The work list of grouped attention on the CPU, derived from the attention plan once per step: tiles of queries and
// the pages that each tile reads. Read by cpu::GroupedAttention.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "layers/attention_plan.hpp"

namespace moemill::cpu {

using layers::AttentionPlan;

// Consecutive queries of a sequence that go through its pages together.
struct GroupedTile {
  std::uint32_t row;  // of the plan
  std::uint32_t queries;
  std::uint32_t first_position;
  std::uint32_t first_page;  // index into AttentionPlan::pages
};

// Pages [begin, end) of a sequence.
struct PageRange {
  std::uint32_t begin, end;
};
// The pages that at least one query of the tile sees. A window of 0 means that a query sees all earlier positions.
PageRange pages_seen(const GroupedTile& tile, std::uint32_t window);

struct GroupedTiles {
  std::vector<GroupedTile> tiles;
  // By PageGroup: [tiles + 1] running totals of queries * pages for one key-value head. Entry t is the total of the
  // tiles before t.
  std::array<std::vector<std::uint64_t>, schedule::page_groups> work;
};

// `window` is that of the layers whose pages are in PageGroup::Window.
void make_tiles(const AttentionPlan& plan, std::uint32_t queries_per_tile, std::uint32_t window, GroupedTiles& tiles);

}  // namespace moemill::cpu
