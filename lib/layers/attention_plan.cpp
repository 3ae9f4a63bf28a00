#include "layers/attention_plan.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace moemill::layers {

namespace {

using schedule::page_tokens;
using schedule::Segment;

void check(const schedule::Step& step, std::span<const Segment> segments) {
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Segment& s = segments[i];
    const std::uint32_t end = s.first_position + s.rows;
    expect(s.rows > 0 && s.first_row + s.rows <= step.rows(), "step: a segment has rows of the step");
    expect(i == 0 || s.first_row == segments[i - 1].first_row + segments[i - 1].rows,
           "step: segments are in row order");
    expect(i == 0 || s.kind == segments[i - 1].kind || s.kind == schedule::RowKind::Prompt,
           "step: generated segments come first");
    expect(s.page_count * page_tokens >= end, "step: pages cover a segment's positions");
    expect(!step.pages[0].empty() || !step.pages[1].empty(), "step: rows have pages");
    for (const auto& pages : step.pages) {
      expect(pages.empty() || s.first_page + s.page_count <= pages.size(), "step: pages cover a segment's positions");
    }
  }
}

TokenSlot slot_of(const std::vector<PageId>& pages, std::uint32_t first_page, std::uint32_t position) {
  const PageId page = pages[first_page + position / page_tokens];
  expect(page.value >= 0, "step: the page of a row, or one that it sees, was given back");
  return token_slot(page, position);
}

class WaveFiller {
 public:
  WaveFiller(const schedule::Step& step, AttentionPlan& plan) : step_(step), plan_(plan) {}

  // A segment that does not end in the wave where it begins lives on in `states`. A wave may end one such segment and
  // begin another, so neighbouring ones take turns between two sets of states.
  void add(const Segment& segment, std::uint32_t set_size) {
    const std::uint32_t end = segment.first_position + segment.rows;
    for (std::uint32_t from = 0; from < end;) {
      if (plan_.waves.empty() || wave_keys - plan_.waves.back().keys < page_tokens) open();
      const std::uint32_t room = (wave_keys - plan_.waves.back().keys) / page_tokens * page_tokens;
      const std::uint32_t to = std::min(end, from + room);
      if (from == 0 && to < end) set_ = 1 - set_;
      visit(segment, from, to, set_ * set_size);
      for (std::uint32_t p = from; p < to; ++p) {
        plan_.key_slots.push_back(slot_of(step_.pages[0], segment.first_page, p));
      }
      plan_.waves.back().keys += to - from;
      from = to;
    }
  }

 private:
  void open() {
    plan_.waves.push_back(
        {static_cast<std::uint32_t>(plan_.key_slots.size()), 0, static_cast<std::uint32_t>(plan_.visits.size()), 0});
  }

  void visit(const Segment& segment, std::uint32_t from, std::uint32_t to, std::uint32_t first_state) {
    Wave& wave = plan_.waves.back();
    for (std::uint32_t done = 0, tile = 0; done < segment.rows; done += cpu::attention_lanes, ++tile) {
      const std::uint32_t queries = std::min<std::uint32_t>(cpu::attention_lanes, segment.rows - done);
      const std::uint32_t last = segment.first_position + done + queries - 1;
      if (last < from) continue;
      plan_.visits.push_back(
          {.tile = {segment.first_row - plan_.first_row + done, queries, segment.first_position + done},
           .first_key = wave.keys,
           .keys = std::min(to, last + 1) - from,
           .first_position = from,
           .opens = from == 0,
           .closes = last < to,
           .state = first_state + tile});
      ++wave.visits;
    }
  }

  const schedule::Step& step_;
  AttentionPlan& plan_;
  std::uint32_t set_ = 0;
};

// What latent attention works by: generated rows one by one, prompts in waves.
void plan_forms(const schedule::Step& step, std::span<const Segment> segments, AttentionPlan& plan) {
  std::uint32_t set_size = 0;
  for (const Segment& s : segments) {
    if (s.kind == schedule::RowKind::Prompt) {
      set_size = std::max<std::uint32_t>(set_size, (s.rows + cpu::attention_lanes - 1) / cpu::attention_lanes);
      continue;
    }
    for (std::uint32_t i = 0; i < s.rows; ++i) {
      plan.generated.push_back({s.first_row - plan.first_row + i, s.first_position + i, s.first_page});
    }
  }
  plan.states = 2 * set_size;
  WaveFiller filler(step, plan);
  for (const Segment& s : segments) {
    if (s.kind == schedule::RowKind::Prompt) filler.add(s, set_size);
  }
}

}  // namespace

void plan_attention(const schedule::Step& step, std::span<const Segment> segments, model::AttentionKind kind,
                    RopeTable& rope, AttentionPlan& plan) {
  check(step, segments);
  plan.first_row = segments.empty() ? 0 : segments.front().first_row;
  plan.rows = 0;
  plan.runs.clear(), plan.generated.clear(), plan.key_slots.clear(), plan.visits.clear(), plan.waves.clear();
  for (const Segment& s : segments) {
    plan.runs.push_back({s.first_row - plan.first_row, s.rows, s.first_position, s.first_page});
    plan.rows += s.rows;
  }
  for (std::size_t g = 0; g < schedule::page_groups; ++g) {
    const auto& pages = step.pages[g];
    plan.pages[g].assign(pages.begin(), pages.end());
    plan.slots[g].clear();
    if (pages.empty()) continue;
    for (const Segment& s : segments) {
      for (std::uint32_t i = 0; i < s.rows; ++i) {
        plan.slots[g].push_back(slot_of(pages, s.first_page, s.first_position + i));
      }
    }
  }
  if (kind == model::AttentionKind::Latent) plan_forms(step, segments, plan);

  const std::span<const std::uint32_t> positions(step.positions.data() + plan.first_row, plan.rows);
  rope.gather(positions, plan.cosine.reserve(plan.rows * rope.half()), plan.sine.reserve(plan.rows * rope.half()));
}

}  // namespace moemill::layers
