#include "layers/attention_plan.hpp"

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

}  // namespace

TokenSlot slot_of(std::span<const PageId> pages, std::uint32_t first_page, std::uint32_t position) {
  const PageId page = pages[first_page + position / page_tokens];
  expect(page.value >= 0, "step: the page of a row, or one that it sees, was given back");
  return token_slot(page, position);
}

void plan_attention(const schedule::Step& step, std::span<const Segment> segments, RopeTable& rope,
                    AttentionPlan& plan) {
  check(step, segments);
  plan.first_row = segments.empty() ? 0 : segments.front().first_row;
  plan.rows = 0;
  plan.runs.clear();
  for (const Segment& s : segments) {
    plan.runs.push_back({s.kind, s.first_row - plan.first_row, s.rows, s.first_position, s.first_page});
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
  const std::span<const std::uint32_t> positions(step.positions.data() + plan.first_row, plan.rows);
  plan.rotated_pairs = rope.pairs();
  rope.gather(positions, plan.cosines.reserve(plan.rows * rope.pairs()), plan.sines.reserve(plan.rows * rope.pairs()));
}

}  // namespace moemill::layers
