// One step of one rank, as the scheduler hands it to the layers: which rows, of which sequences, at which positions.
// Pure data; made by schedule/scheduler, read by layers/ and sample/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.hpp"

namespace moemill::schedule {

constexpr std::uint32_t page_tokens = 64;  // tokens a KV page; attention blocks are these pages, aligned to position 0

// Layers that see all positions and layers that see a window keep their pages apart, so that pages outside the window
// can be given back. A model without windows has no pages of the second kind, one with windows everywhere none of the
// first.
enum class PageGroup : std::uint8_t { Full, Window };
constexpr std::size_t page_groups = 2;

// A prompt token's attention always uses the expanded form of MLA, a generated token's always the absorbed one, also
// when it is replayed after a resume: that is part of the definition of its bits.
enum class RowKind : std::uint8_t { Prompt, Generated };

// Consecutive rows of one sequence at consecutive positions.
struct Segment {
  RowKind kind;
  std::uint32_t first_row;
  std::uint32_t rows;
  std::uint32_t first_position;
  std::uint32_t first_page;  // into Step::pages; pages cover positions 0 .. first_position + rows - 1
  std::uint32_t page_count;
};

// The first `tokens` entries of `from` become those of `to`, in every layer of the group, before the step's rows are
// computed: how samples of one prompt share all its full pages and own a copy of its last, partial one.
struct PageCopy {
  PageGroup group;
  PageId from;
  PageId to;
  std::uint32_t tokens;
};

struct Step {
  std::vector<TokenId> tokens;           // [rows]
  std::vector<std::uint32_t> positions;  // [rows]
  std::vector<Segment> segments;         // in row order; Generated segments first
  // By PageGroup; both lists have an entry for the same positions, or are empty where the model has no such layers. A
  // page that was given back, all of it outside the window of every row of the step, is PageId{-1}.
  std::array<std::vector<PageId>, page_groups> pages;
  std::vector<PageCopy> copies;
  std::vector<std::uint32_t> logit_rows;  // ascending rows whose logits are wanted

  std::uint32_t rows() const { return static_cast<std::uint32_t>(tokens.size()); }
  void clear() {
    tokens.clear(), positions.clear(), segments.clear(), copies.clear(), logit_rows.clear();
    for (auto& group : pages) group.clear();
  }
};

}  // namespace moemill::schedule
