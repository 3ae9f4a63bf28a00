// Waiting for other ranks of the node through memory that they share, without MPI: a rank arrives at a word, and others
// wait until enough have arrived. A waiting rank leaves its core to the others, because ranks may outnumber cores, and
// it notices that a mate has died instead of waiting forever.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "system/machine/process_id.hpp"

namespace moemill {

// A word in memory that the ranks share; zero at the start.
using NodeWord = std::atomic<std::uint32_t>;
static_assert(NodeWord::is_always_lock_free, "a word works between processes");

// Adds `times`, usually one, and wakes those who wait. What the rank has written before is seen by every rank that
// waits for it. A rank that fails arrives for all, so that nobody waits for it.
void arrive(NodeWord& word, std::uint32_t times = 1);

// Returns when the word is at least `count`: at once, after spinning for some microseconds, or after a sleep.
// SystemError a few seconds after one of the mates has ended.
void wait_for(const NodeWord& word, std::uint32_t count, std::span<const ProcessId> mates);

}  // namespace moemill
