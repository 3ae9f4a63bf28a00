#include "system/comm/node_wait.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <ctime>
#include <thread>

#include "base/error.hpp"

namespace moemill {
namespace {

// A mate that is as far as this rank arrives within this time; any longer and the core is worth more to others.
constexpr std::chrono::microseconds spin_time{20};
// Between two looks at the mates.
constexpr std::chrono::seconds look_time{1};
// While something is on its way: as long as a message within a machine room takes, several times over.
constexpr timespec nap{0, 50'000};
// A mate that leaves because of a failure is about to end this rank as well, and its message is the one to be read.
constexpr std::chrono::milliseconds grace{500};
// Launchers end the ranks that are left about a second after one has ended. Until then nobody is to say more than that
// one did, which may have left on purpose (a second SIGINT) with the exit code that counts.
constexpr std::chrono::seconds launchers_grace{3};

static_assert(sizeof(NodeWord) == sizeof(std::uint32_t), "the kernel reads the word's value");

// Not std::atomic::wait, whose futexes are private to a process: another process never wakes it.
void sleep_while(const NodeWord& word, std::uint32_t value, const timespec& at_most) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &at_most, nullptr, 0);
}

const ProcessId* one_that_has_ended(std::span<const ProcessId> mates) {
  for (const ProcessId& mate : mates) {
    if (!runs(mate)) return &mate;
  }
  return nullptr;
}

}  // namespace

void arrive(NodeWord& word, std::uint32_t times) {
  word.fetch_add(times, std::memory_order_acq_rel);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void wait_for(const NodeWord& word, std::uint32_t count, const WhileWaiting& meanwhile) {
  using Clock = std::chrono::steady_clock;
  constexpr timespec until_look{look_time.count(), 0};
  const auto begin = Clock::now();
  auto now = begin, look = begin + look_time;
  while (!has_reached(word, count)) {
    const bool soon = meanwhile.progress && meanwhile.progress();
    now = Clock::now();
    if (now - begin < spin_time) continue;
    if (meanwhile.left && meanwhile.left->load(std::memory_order_acquire) != 0) {
      std::this_thread::sleep_for(grace);
      if (has_reached(word, count)) return;  // it had arrived before it left
      system_error("a rank on this node that shares its memory with this one has given up");
    }
    const std::uint32_t seen = word.load(std::memory_order_acquire);
    if (static_cast<std::int32_t>(seen - count) >= 0) return;
    sleep_while(word, seen, soon ? nap : until_look);
    if (now < look) continue;
    look = now + look_time;
    const ProcessId* ended = one_that_has_ended(meanwhile.mates);
    // It may have arrived before it ended: then nothing is missing.
    if (!ended || has_reached(word, count)) continue;
    std::this_thread::sleep_for(launchers_grace);
    system_error("process {}, a rank on this node that shares its memory with this one, has ended", ended->number);
  }
}

}  // namespace moemill
