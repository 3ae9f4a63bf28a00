#include "system/comm/node_wait.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <ctime>

#include "base/error.hpp"

namespace moemill {
namespace {

// A mate that is as far as this rank arrives within this time; any longer and the core is worth more to others.
constexpr std::chrono::microseconds spin_time{20};
// Between two looks at the mates.
constexpr timespec sleep_time{1, 0};

static_assert(sizeof(NodeWord) == sizeof(std::uint32_t), "the kernel reads the word's value");

// Not std::atomic::wait, whose futexes are private to a process: another process never wakes it.
void sleep_while(const NodeWord& word, std::uint32_t value) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &sleep_time, nullptr, 0);
}

void check_alive(std::span<const ProcessId> mates) {
  for (const ProcessId& mate : mates) {
    if (!runs(mate))
      system_error("process {}, a rank on this node that shares its memory with this one, has ended", mate.number);
  }
}

}  // namespace

void arrive(NodeWord& word, std::uint32_t times) {
  word.fetch_add(times, std::memory_order_acq_rel);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void wait_for(const NodeWord& word, std::uint32_t count, std::span<const ProcessId> mates) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point look = Clock::now() + std::chrono::seconds(sleep_time.tv_sec);
  for (const auto end = Clock::now() + spin_time; Clock::now() < end;) {
    if (word.load(std::memory_order_acquire) >= count) return;
  }
  for (;;) {
    const std::uint32_t seen = word.load(std::memory_order_acquire);
    if (seen >= count) return;
    sleep_while(word, seen);
    if (Clock::now() < look) continue;
    // A mate may have arrived and ended since: then nothing is missing.
    if (word.load(std::memory_order_acquire) < count) check_alive(mates);
    look = Clock::now() + std::chrono::seconds(sleep_time.tv_sec);
  }
}

}  // namespace moemill
