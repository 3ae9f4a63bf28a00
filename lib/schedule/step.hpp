// One step of one rank, as the scheduler hands it to the layers: which rows, of which sequences, at which positions.
// Pure data; made by schedule/scheduler, read by layers/ and sample/.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.hpp"

namespace moemill::schedule {

constexpr std::uint32_t page_tokens = 64;  // tokens a KV page; attention blocks are these pages, aligned to position 0

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

// The first `tokens` entries of `from` become those of `to`, in every layer, before the step's rows are computed:
// how samples of one prompt share all its full pages and own a copy of its last, partial one.
struct PageCopy {
  PageId from;
  PageId to;
  std::uint32_t tokens;
};

struct Step {
  std::vector<TokenId> tokens;           // [rows]
  std::vector<std::uint32_t> positions;  // [rows]
  std::vector<Segment> segments;         // in row order; Generated segments first
  std::vector<PageId> pages;
  std::vector<PageCopy> copies;
  std::vector<std::uint32_t> logit_rows;  // ascending rows whose logits are wanted

  std::uint32_t rows() const { return static_cast<std::uint32_t>(tokens.size()); }
  void clear() {
    tokens.clear(), positions.clear(), segments.clear(), pages.clear(), copies.clear(), logit_rows.clear();
  }
};

}  // namespace moemill::schedule
