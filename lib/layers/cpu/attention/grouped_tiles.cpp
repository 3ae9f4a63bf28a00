#include "layers/cpu/attention/grouped_tiles.hpp"

#include <algorithm>

namespace moemill::cpu {

using layers::Run;
using schedule::page_tokens;

PageRange pages_seen(const GroupedTile& tile, std::uint32_t window) {
  const std::uint32_t last = tile.first_position + tile.queries - 1;
  const std::uint32_t first = window && tile.first_position >= window ? tile.first_position - window + 1 : 0;
  return {first / page_tokens, last / page_tokens + 1};
}

void make_tiles(const AttentionPlan& plan, std::uint32_t queries_per_tile, std::uint32_t window, GroupedTiles& tiles) {
  tiles.tiles.clear();
  for (const Run& run : plan.runs) {
    for (std::uint32_t done = 0; done < run.rows; done += queries_per_tile) {
      const std::uint32_t queries = std::min(queries_per_tile, run.rows - done);
      tiles.tiles.push_back({run.row + done, queries, run.first_position + done, run.first_page});
    }
  }
  for (std::size_t g = 0; g < schedule::page_groups; ++g) {
    const std::uint32_t seen = g == static_cast<std::size_t>(schedule::PageGroup::Window) ? window : 0;
    auto& work = tiles.work[g];
    work.assign(1, 0);
    for (const GroupedTile& tile : tiles.tiles) {
      const PageRange pages = pages_seen(tile, seen);
      work.push_back(work.back() + std::uint64_t{tile.queries} * (pages.end - pages.begin));
    }
  }
}

}  // namespace moemill::cpu
