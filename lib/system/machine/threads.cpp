#include "system/machine/threads.hpp"

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "system/machine/flush_subnormals.hpp"

namespace moemill {

namespace {

// A thread spins for about 20 us before it sleeps: regions of a step follow each other closely, but where ranks share
// cores, longer spinning would take time from the work.
constexpr int spins_before_sleep = 1000;

template <class T>
void wait_while(const std::atomic<T>& value, T old) {
  for (int spin = 0; spin < spins_before_sleep; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    _mm_pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

// Incrementing `region` opens a region and publishes the fields before it; each thread that finishes a range decrements
// `busy`. A range belongs to the thread that raises its claim from the previous region to this one: its member, or the
// caller, if it has finished its own range and the member has not begun (another program may hold its core). A member
// that comes late finds the claim raised, however many regions it has slept through, and touches nothing.
struct ThreadTeam::State {
  using Body = std::function<void(std::size_t, std::size_t, int)>;

  // One cache line each, because members claim at the same moment.
  struct alignas(64) Claim {
    std::atomic<std::uint32_t> region{0};
  };

  explicit State(int threads)
      : size(threads), failures(static_cast<std::size_t>(threads)), claims(static_cast<std::size_t>(threads)) {}

  void run_range(int thread) noexcept {
    std::size_t begin = std::min(count, static_cast<std::size_t>(thread) * length);
    std::size_t end = std::min(count, begin + length);
    if (begin == end) return;
    try {
      (*body)(begin, end, thread);
    } catch (...) {
      failures[static_cast<std::size_t>(thread)] = std::current_exception();
    }
  }

  bool claim(int thread, std::uint32_t now) {
    std::uint32_t before = now - 1;
    return claims[static_cast<std::size_t>(thread)].region.compare_exchange_strong(before, now,
                                                                                   std::memory_order_acq_rel);
  }

  void member(int thread) {
    const FlushSubnormals flush;
    for (std::uint32_t seen = 0;;) {
      wait_while(region, seen);
      seen = region.load(std::memory_order_acquire);
      if (stopping.load(std::memory_order_relaxed)) return;
      if (!claim(thread, seen)) continue;
      run_range(thread);
      if (busy.fetch_sub(1, std::memory_order_acq_rel) == 1) busy.notify_one();
    }
  }

  // The caller runs the ranges that no member has begun.
  void take_over(std::uint32_t now) {
    for (int thread = 1; thread < size; ++thread) {
      if (!claim(thread, now)) continue;
      run_range(thread);
      busy.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void stop() {
    stopping.store(true, std::memory_order_relaxed);
    region.fetch_add(1, std::memory_order_release);
    region.notify_all();
    for (std::thread& member : members) member.join();
  }

  int size;
  const Body* body = nullptr;
  std::size_t count = 0;
  std::size_t length = 0;  // of one thread's range
  std::vector<std::exception_ptr> failures;
  std::vector<Claim> claims;
  std::atomic<std::uint32_t> region{0};
  std::atomic<int> busy{0};
  std::atomic<bool> stopping{false};
  std::vector<std::thread> members;
};

ThreadTeam::ThreadTeam(int threads) {
  expect(threads >= 1, "a thread team has at least one thread");
  state_ = std::make_unique<State>(threads);
  State* state = state_.get();
  try {
    for (int t = 1; t < threads; ++t) state->members.emplace_back([state, t] { state->member(t); });
  } catch (const std::system_error& e) {
    state->stop();
    system_error("thread {} of {} cannot be started: {}; see ulimit -u and -v, or ask for fewer threads_per_rank",
                 state->members.size() + 1, threads, e.what());
  }
}

ThreadTeam::~ThreadTeam() { state_->stop(); }

int ThreadTeam::size() const { return state_->size; }

void ThreadTeam::run(std::size_t count, std::size_t grain,
                     const std::function<void(std::size_t begin, std::size_t end, int thread)>& body) {
  if (count == 0) return;
  const FlushSubnormals flush;
  State& s = *state_;
  grain = std::max<std::size_t>(grain, 1);
  const auto size = static_cast<std::size_t>(s.size);
  const std::size_t grains = divide_up(count, grain);
  if (size == 1 || grains == 1) return body(0, count, 0);

  s.body = &body;
  s.count = count;
  s.length = divide_up(grains, size) * grain;
  s.busy.store(s.size - 1, std::memory_order_relaxed);
  const std::uint32_t now = s.region.fetch_add(1, std::memory_order_release) + 1;
  s.region.notify_all();
  s.run_range(0);
  s.take_over(now);
  for (int busy = s.busy.load(std::memory_order_acquire); busy != 0; busy = s.busy.load(std::memory_order_acquire)) {
    wait_while(s.busy, busy);
  }
  std::exception_ptr failure;
  for (std::exception_ptr& f : s.failures) {
    if (f && !failure) failure = f;
    f = nullptr;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace moemill
