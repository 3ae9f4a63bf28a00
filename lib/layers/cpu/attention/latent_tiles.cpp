#include "layers/cpu/attention/latent_tiles.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "base/numbers/rounding.hpp"
#include "kernels/cpu/attention_lanes.hpp"

namespace moemill::cpu {

namespace {

using layers::Run;
using schedule::page_tokens;
using schedule::RowKind;

constexpr std::uint32_t no_wave = ~0u;
constexpr std::uint32_t units_of_few_rows = 128;  // as many as 1,024 rows have

std::uint32_t end_of(const PromptRun& prompt) { return prompt.run.first_position + prompt.run.rows; }
std::uint32_t units_of(const PromptRun& prompt) { return divide_up(prompt.run.rows, narrow_lanes); }

std::span<const PageId> pages_of(const std::vector<PageId>& pages, const PromptRun& prompt) {
  return std::span(pages).subspan(prompt.run.first_page, divide_up(end_of(prompt), page_tokens));
}

std::uint32_t common_pages(std::span<const PageId> a, std::span<const PageId> b) {
  return static_cast<std::uint32_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

// Orders prompts by their pages and finds what each one shares with those before it. Prompts that share their first
// page are one group; where they are more than there is memory for, another group begins, which expands again.
void order_prompts(const AttentionPlan& plan, LatentTiles& tiles) {
  const std::vector<PageId>& pages = plan.pages[static_cast<std::size_t>(schedule::PageGroup::Full)];
  tiles.prompts.clear();
  for (const Run& run : plan.runs) {
    if (run.kind == RowKind::Prompt) tiles.prompts.push_back({run, 0, 0, no_wave});
  }
  std::sort(tiles.prompts.begin(), tiles.prompts.end(), [&](const PromptRun& a, const PromptRun& b) {
    const auto of_a = pages_of(pages, a), of_b = pages_of(pages, b);
    const std::uint32_t common = common_pages(of_a, of_b);
    if (common < std::min(of_a.size(), of_b.size())) return of_a[common] < of_b[common];
    return of_a.size() != of_b.size() ? of_a.size() < of_b.size() : a.run.row < b.run.row;
  });
  std::uint32_t units = 0;  // of the group
  for (std::size_t i = 0; i < tiles.prompts.size(); ++i) {
    PromptRun& prompt = tiles.prompts[i];
    if (i > 0) prompt.shared = common_pages(pages_of(pages, tiles.prompts[i - 1]), pages_of(pages, prompt));
    if (units + units_of(prompt) > tiles.states) prompt.shared = 0;
    units = units_of(prompt) + (prompt.shared > 0 ? units : 0);
  }
}

class WaveFiller {
 public:
  WaveFiller(const AttentionPlan& plan, LatentTiles& tiles)
      : pages_(plan.pages[static_cast<std::size_t>(schedule::PageGroup::Full)]), tiles_(tiles) {}

  // A group of one prompt that ends in the wave in which it begins needs no memory.
  void add_all() {
    auto& prompts = tiles_.prompts;
    for (std::size_t first = 0, end = 0; first < prompts.size(); first = end) {
      for (end = first + 1; end < prompts.size() && prompts[end].shared > 0;) ++end;
      const bool kept = end - first > 1 || end_of(prompts[first]) > room();
      if (kept) place_states(first, end);
      for (std::size_t i = first; i < end; ++i) add(i);
      if (kept) sides_[side_].wave = current();
    }
  }

 private:
  // Tiles of the group that last had this side of the memory: the lowest units, or the highest.
  struct Side {
    std::uint32_t units = 0;
    std::uint32_t wave = no_wave;  // the group's last one
  };

  std::uint32_t current() const { return static_cast<std::uint32_t>(tiles_.waves.size()) - 1; }
  // Positions that the current wave can still take, in whole pages.
  std::uint32_t room() const {
    return tiles_.waves.empty() ? 0 : (wave_keys - tiles_.waves.back().keys) / page_tokens * page_tokens;
  }
  void begin_wave() {
    tiles_.waves.push_back(
        {static_cast<std::uint32_t>(tiles_.key_slots.size()), 0, static_cast<std::uint32_t>(tiles_.visits.size()), 0});
  }

  // Prompts [first, end), a group, keep their tiles in memory from wave to wave. One group may end and the next one
  // begin in the same wave, so groups take turns at the two sides of the memory.
  void place_states(std::size_t first, std::size_t end) {
    const std::span<PromptRun> group = std::span(tiles_.prompts).subspan(first, end - first);
    std::uint32_t units = 0;
    for (const PromptRun& prompt : group) units += units_of(prompt);
    const Side& other = sides_[side_];
    side_ = 1 - side_;
    const bool meets = other.wave == current() && other.units + units > tiles_.states;
    if (!tiles_.waves.empty() && (meets || sides_[side_].wave == current())) begin_wave();
    sides_[side_] = {units, no_wave};
    std::uint32_t state = side_ == 0 ? 0 : tiles_.states - units;
    for (PromptRun& prompt : group) {
      prompt.first_state = state;
      state += units_of(prompt);
    }
  }

  // Calls f(prompt, end) for prompt i and for those behind it that have pages from position `from` on in common with
  // it: up to position `end`.
  template <class F>
  void for_sharers(std::size_t i, std::uint32_t from, F f) {
    std::uint32_t end = end_of(tiles_.prompts[i]);
    f(tiles_.prompts[i], divide_up(end, page_tokens) * page_tokens);
    for (++i; i < tiles_.prompts.size(); ++i) {
      end = std::min(divide_up(end, page_tokens), tiles_.prompts[i].shared) * page_tokens;
      if (end <= from) return;
      f(tiles_.prompts[i], end);
    }
  }

  // The pages of prompt i that no prompt before it has, with visits of all that share them.
  void add(std::size_t i) {
    const PromptRun& prompt = tiles_.prompts[i];
    std::uint32_t from = prompt.shared * page_tokens, end = from;
    for_sharers(i, from,
                [&](const PromptRun& p, std::uint32_t shared) { end = std::max(end, std::min(end_of(p), shared)); });
    for (std::uint32_t to = 0; from < end; from = to) {
      // Prompts may have visits in the current wave for pages before these, and a tile takes one at a time.
      if (room() == 0 || prompt.wave == current()) begin_wave();
      to = std::min(end, from + room());
      for_sharers(i, from, [&](PromptRun& p, std::uint32_t shared) { add_visits(p, from, std::min(to, shared)); });
      for (std::uint32_t p = from; p < to; ++p)
        tiles_.key_slots.push_back(layers::slot_of(pages_, prompt.run.first_page, p));
      tiles_.waves.back().keys += to - from;
    }
  }

  void add_visits(PromptRun& prompt, std::uint32_t from, std::uint32_t to) {
    Wave& wave = tiles_.waves.back();
    const Run& run = prompt.run;
    for (std::uint32_t done = 0; done < run.rows; done += attention_lanes) {
      const std::uint32_t queries = std::min<std::uint32_t>(attention_lanes, run.rows - done);
      const std::uint32_t last = run.first_position + done + queries - 1;
      if (last < from) continue;
      tiles_.visits.push_back({.tile = {run.row + done, queries, run.first_position + done},
                               .first_key = wave.keys,
                               .keys = std::min(to, last + 1) - from,
                               .first_position = from,
                               .opens = from == 0,
                               .closes = last < to,
                               .state = prompt.first_state + done / narrow_lanes});
      ++wave.visits;
    }
    prompt.wave = current();
  }

  const std::vector<PageId>& pages_;
  LatentTiles& tiles_;
  std::array<Side, 2> sides_;
  std::size_t side_ = 0;
};

}  // namespace

std::uint32_t state_units(std::size_t rows) {
  const std::size_t of_one_run = divide_up(rows, attention_lanes) * (attention_lanes / narrow_lanes);
  return static_cast<std::uint32_t>(std::max(2 * of_one_run, std::min<std::size_t>(rows, units_of_few_rows)));
}

void make_tiles(const AttentionPlan& plan, LatentTiles& tiles) {
  tiles.generated.clear(), tiles.key_slots.clear(), tiles.visits.clear(), tiles.waves.clear();
  tiles.work.assign(1, 0);
  for (const Run& run : plan.runs) {
    if (run.kind == RowKind::Prompt) continue;
    for (std::uint32_t i = 0; i < run.rows; ++i) {
      tiles.generated.push_back({run.row + i, run.first_position + i, run.first_page});
      tiles.work.push_back(tiles.work.back() + (run.first_position + i) / page_tokens + 1);
    }
  }
  tiles.states = state_units(plan.rows);
  order_prompts(plan, tiles);
  WaveFiller(plan, tiles).add_all();
}

}  // namespace moemill::cpu
