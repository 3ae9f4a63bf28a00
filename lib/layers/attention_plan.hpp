// The work of attention in one step, or in one half of it, for all layers: which rows follow each other, where they go
// in the cache, which pages they read, and their rotary tables. layers/forward makes it on the host once per step, and
// the backend's attention derives its own work list from it (Attention::Work), in its own memory. Nothing in it can
// change a bit of an answer: blocks of keys are pages, aligned to position 0 of their sequence, and a row does not
// depend on its neighbours.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "layers/rope_table.hpp"
#include "schedule/step.hpp"

namespace moemill::layers {

// The place of a token in the cache of a layer. It is the same in every layer of a page group.
using TokenSlot = std::uint32_t;

inline TokenSlot token_slot(PageId page, std::uint32_t position) {
  return static_cast<std::uint32_t>(page.value) * schedule::page_tokens + position % schedule::page_tokens;
}

// Consecutive rows of one sequence.
struct Run {
  schedule::RowKind kind;
  std::uint32_t row;  // of the plan
  std::uint32_t rows;
  std::uint32_t first_position;
  std::uint32_t first_page;  // index into AttentionPlan::pages
};

struct AttentionPlan {
  std::uint32_t first_row = 0;  // of the step
  std::uint32_t rows = 0;
  std::vector<Run> runs;  // in row order; generated ones come first
  // By PageGroup; empty where the model has no such layers.
  std::array<std::vector<TokenSlot>, schedule::page_groups> slots;  // [rows]
  std::array<std::vector<PageId>, schedule::page_groups> pages;     // as in the step
  Buffer<float> cosines, sines;                                     // [rows, rotated_pairs]
  std::size_t rotated_pairs = 0;                                    // pairs of values that a rotation turns

  Rows<const float> cosine() const { return cosines.rows(rows, rotated_pairs); }
  Rows<const float> sine() const { return sines.rows(rows, rotated_pairs); }
};

// The slot of a position of a sequence whose pages begin at `first_page`. The page must not have been given back.
TokenSlot slot_of(std::span<const PageId> pages, std::uint32_t first_page, std::uint32_t position);

// Plans the rows of `segments`, which are consecutive ones of the step.
void plan_attention(const schedule::Step& step, std::span<const schedule::Segment> segments, RopeTable& rope,
                    AttentionPlan& plan);

}  // namespace moemill::layers
