// Waiting for other ranks of the node through memory that they share, without MPI: a rank arrives at a word, and others
// wait until enough have arrived. A waiting rank leaves its core to the others, because ranks may outnumber cores, and
// it notices that a mate has died instead of waiting forever.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "system/machine/process_id.hpp"

namespace moemill {

// A word in memory that the ranks share; zero at the start.
using NodeWord = std::atomic<std::uint32_t>;
static_assert(NodeWord::is_always_lock_free, "a word works between processes");

// Adds `times`, usually one, and wakes those who wait. What the rank has written before is seen by every rank that
// waits for it. A rank that fails arrives for all, so that nobody waits for it.
void arrive(NodeWord& word, std::uint32_t times = 1);

// Whether the word has reached `count`. A word that goes on growing may pass 2^32 and begin again: what counts is which
// of the two is ahead by less than half of that.
inline bool has_reached(const NodeWord& word, std::uint32_t count) {
  return static_cast<std::int32_t>(word.load(std::memory_order_acquire) - count) >= 0;
}

// What a rank sees to while it waits.
struct WhileWaiting {
  std::span<const ProcessId> mates;
  const NodeWord* left = nullptr;  // not zero: a mate will arrive no more
  // Called again and again, if there is one. Returns whether it wants to be called again soon, because something is on
  // its way; else the rank may sleep until it is woken.
  std::function<bool()> progress = {};
};

// Returns when the word has reached `count`: at once, after spinning for some microseconds, or after sleeps.
// SystemError a few seconds after one of the mates has ended or left.
void wait_for(const NodeWord& word, std::uint32_t count, const WhileWaiting& meanwhile);
inline void wait_for(const NodeWord& word, std::uint32_t count, std::span<const ProcessId> mates) {
  wait_for(word, count, WhileWaiting{mates});
}

}  // namespace moemill
