#include "system/machine/threads.hpp"

#include <doctest/doctest.h>
#include <sched.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "system/machine/flush_subnormals.hpp"

using moemill::FlushSubnormals;
using moemill::ThreadTeam;

TEST_CASE("threads: every index once, in ranges cut at the grain") {
  for (int threads : {1, 2, 3, 7}) {
    ThreadTeam team(threads);
    CHECK(team.size() == threads);
    for (std::size_t count : {0, 1, 2, 31, 32, 33, 100, 1001}) {
      for (std::size_t grain : {1, 7, 32, 5000}) {
        std::vector<std::atomic<int>> visits(count);
        std::atomic<int> badly_cut{0};
        team.parallel_for(count, grain, [&](std::size_t begin, std::size_t end, int thread) {
          if (begin % grain != 0 || (end % grain != 0 && end != count) || begin >= end) ++badly_cut;
          if (thread < 0 || thread >= threads) ++badly_cut;
          for (std::size_t i = begin; i < end; ++i) ++visits[i];
        });
        CHECK(badly_cut == 0);
        std::size_t once = 0;
        for (auto& v : visits) once += v == 1;
        CHECK(once == count);
      }
    }
  }
}

TEST_CASE("threads: one thread, or one grain, runs on the caller") {
  const auto caller = std::this_thread::get_id();
  ThreadTeam alone(1), team(3);
  auto on_caller = [&](std::size_t, std::size_t, int thread) {
    CHECK(thread == 0);
    CHECK(std::this_thread::get_id() == caller);
  };
  alone.parallel_for(100, 1, on_caller);
  team.parallel_for(10, 10, on_caller);
}

TEST_CASE("threads: an exception of any range is rethrown, and the team can be used again") {
  ThreadTeam team(3);
  for (std::size_t bad : {std::size_t{0}, std::size_t{50}, std::size_t{99}}) {
    std::string message;
    try {
      team.parallel_for(100, 1, [&](std::size_t begin, std::size_t end, int) {
        if (begin <= bad && bad < end) throw std::runtime_error("range failed");
      });
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    CHECK(message == "range failed");
    std::atomic<std::size_t> done{0};
    team.parallel_for(100, 1, [&](std::size_t begin, std::size_t end, int) { done += end - begin; });
    CHECK(done == 100);
  }
}

TEST_CASE("threads: many short regions after one another, some after a sleep") {
  ThreadTeam team(2);
  std::size_t total = 0;
  for (int i = 0; i < 2000; ++i) {
    std::size_t parts[2] = {0, 0};
    team.parallel_for(2, 1, [&](std::size_t begin, std::size_t end, int thread) { parts[thread] += end - begin; });
    total += parts[0] + parts[1];
    if (i % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(total == 4000);
}

TEST_CASE("threads: a range whose thread has no core to begin on is the caller's") {
  cpu_set_t all, one;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);  // threads inherit it
  {
    ThreadTeam team(3);
    const auto caller = std::this_thread::get_id();
    std::size_t taken_over = 0, total = 0;
    for (int i = 0; i < 2000; ++i) {
      int visits[3] = {0, 0, 0};
      bool by_caller[3] = {false, false, false};
      team.parallel_for(3, 1, [&](std::size_t begin, std::size_t end, int thread) {
        for (std::size_t at = begin; at < end; ++at) visits[at]++;
        by_caller[thread] = std::this_thread::get_id() == caller;
      });
      CHECK(by_caller[0]);
      for (int t : {0, 1, 2}) total += visits[t] == 1;
      taken_over += by_caller[1] + by_caller[2];
    }
    CHECK(total == 6000);
    CHECK(taken_over > 0);
  }
  sched_setaffinity(0, sizeof all, &all);
}

TEST_CASE("threads: bodies flush subnormals, and the caller's mode comes back") {
  for (int threads : {1, 3}) {
    ThreadTeam team(threads);
    for (std::size_t count : {std::size_t{1}, std::size_t{30}}) {
      std::atomic<int> flushing{0}, ranges{0};
      team.parallel_for(count, 1, [&](std::size_t, std::size_t, int) {
        volatile float small = 0x1p-100f;
        flushing += FlushSubnormals::on() && small * small == 0 && small * 0x1p-30f == 0;
        ++ranges;
      });
      CHECK(flushing == ranges);
      CHECK(!FlushSubnormals::on());
    }
  }
  const FlushSubnormals outer;
  { const FlushSubnormals inner; }
  CHECK(FlushSubnormals::on());
}
