// What a forward pass is made with, and what it counts: plain values that every backend shares.
#pragma once

#include <cstdint>

#include "base/passes.hpp"
#include "layers/dispatch/exchange_totals.hpp"

namespace moemill::layers {

struct Trace;
struct PickRecord;

struct ForwardSettings {
  std::uint32_t max_rows = 2048;    // of one step
  std::uint32_t max_positions = 0;  // longest sequence
  std::uint32_t pages = 0;          // KV pages of this rank, schedule::page_tokens each: of PageGroup::Full
  std::uint32_t window_pages = 0;   // of PageGroup::Window
  std::uint32_t micro_batches = 1;  // 1, or 2: the most that a step may have (schedule::Step::micro_batches)
  Trace* trace = nullptr;           // tests only: inner states of the last run(), see layers/trace.hpp
  PickRecord* picks = nullptr;      // of the first steps, while it wants some; null: nothing is recorded
};

// Since the start, of this rank. Seconds are wall time.
struct ForwardTotals {
  PassSeconds passes{};
  ExchangeTotals exchange;
  std::uint64_t steps_with_one = 0, steps_with_two = 0;  // micro-batches; counted by the first rank of the domain only
};

}  // namespace moemill::layers
