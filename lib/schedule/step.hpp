// One step of one rank, as the scheduler hands it to the layers: which rows, of which sequences, at which positions.
// Pure data; made by schedule/scheduler, read by layers/ and sample/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.hpp"
#include "base/page_tokens.hpp"

namespace moemill::schedule {

using moemill::page_tokens;

// Full-attention layers and layers with a sliding window have pages of their own, so that pages outside the window can
// be freed. A model without windows has no pages of the second group; a model with windows everywhere has none of the
// first.
enum class PageGroup : std::uint8_t { Full, Window };
constexpr std::size_t page_groups = 2;

// A prompt token's attention always uses the expanded form of MLA and a generated token's always the absorbed form,
// even when it is replayed after a resume. This is part of the definition of the output's bits.
enum class RowKind : std::uint8_t { Prompt, Generated };

// Consecutive rows of one sequence at consecutive positions.
struct Segment {
  RowKind kind;
  std::uint32_t first_row;
  std::uint32_t rows;
  std::uint32_t first_position;
  std::uint32_t first_page;  // index into Step::pages; pages cover positions 0 .. first_position + rows - 1
  std::uint32_t page_count;
};

// Copies the first `tokens` entries of page `from` to page `to`, in every layer of the group, before the step's rows
// are computed. Samples of one prompt share all its full pages, and each owns a copy of the last, partial page.
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
  // Indexed by PageGroup. Both lists have entries for the same positions, or are empty if the model has no such layers.
  // A page that was freed because it lies outside the window of every row of the step is PageId{-1}.
  std::array<std::vector<PageId>, page_groups> pages;
  std::vector<PageCopy> copies;
  std::vector<std::uint32_t> logit_rows;  // ascending rows whose logits are wanted
  // 1, or 2: one half is computed while the rows of the other travel. The same on all ranks of an expert domain.
  std::uint32_t micro_batches = 1;

  std::uint32_t rows() const { return static_cast<std::uint32_t>(tokens.size()); }
  void clear() {
    tokens.clear(), positions.clear(), segments.clear(), copies.clear(), logit_rows.clear();
    for (auto& group : pages) group.clear();
    micro_batches = 1;
  }
};

}  // namespace moemill::schedule
