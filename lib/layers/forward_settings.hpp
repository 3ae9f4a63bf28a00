// What a forward pass is made with, and what it counts: plain values that every backend shares.
#pragma once

#include <cstdint>

#include "base/passes.hpp"
#include "layers/dispatch/exchange_totals.hpp"

namespace moemill::layers {

struct Trace;

struct ForwardSettings {
  std::uint32_t max_rows = 2048;    // of one step
  std::uint32_t max_positions = 0;  // longest sequence
  std::uint32_t pages = 0;          // KV pages of this rank, schedule::page_tokens each: of PageGroup::Full
  std::uint32_t window_pages = 0;   // of PageGroup::Window
  std::uint32_t micro_batches = 1;  // 1, or 2: one computes while the rows of the second travel
  Trace* trace = nullptr;           // tests only: inner states of the last run(), see layers/trace.hpp
};

// Since the start, of this rank. Seconds are wall time.
struct ForwardTotals {
  PassSeconds passes{};
  ExchangeTotals exchange;
};

}  // namespace moemill::layers
