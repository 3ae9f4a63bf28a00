// One job at a time in a run directory, on one machine.
#include "dataset/lock/run_lock.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <csignal>
#include <cstdlib>

#include "lock_for_tests.hpp"

using namespace moemill;
using namespace moemill::dataset;

namespace {

// A child that holds the lock until it is killed.
pid_t fork_holder(const RunPaths& paths) {
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = fork_to([&] {
    RunLock lock(paths, calm(), quick);
    char byte = 1;
    if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  });
  ::close(ready[1]);
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  ::close(ready[0]);
  return child;
}

}  // namespace

// tests/torture preloads no_locks.cpp. The tests below pass without it as well, but then they show less.
TEST_CASE("lock: a preloaded library is in force where one was asked for") {
  Scratch scratch;
  if (std::getenv("NO_LOCKS")) CHECK_FALSE(has_kernel_locks(scratch.dir()));
  if (std::getenv("NO_LINKS")) CHECK_FALSE(has_links(scratch.dir()));
}

TEST_CASE("lock: one job at a time; a killed job blocks none") {
  Scratch scratch;
  const RunPaths paths{scratch.path("deep/run")};
  const pid_t child = fork_holder(paths);
  const std::string text = refusal(paths);
  CHECK_CONTAINS(text, "another job works in this run directory");
  CHECK_CONTAINS(text, fmt::format("process {}", child));
  REQUIRE(lock_holder(paths));
  ::kill(child, SIGSTOP);  // a process that is stopped is alive
  sleep_for(0.6);
  CHECK_CONTAINS(refusal(paths), fmt::format("process {}", child));
  CHECK(lock_holder(paths));
  ::kill(child, SIGKILL);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK_FALSE(lock_holder(paths));
  CHECK(taken_at_once(paths));
  ::waitpid(child, nullptr, 0);
  {
    RunLock lock(paths, calm(), quick);
    CHECK_CONTAINS(*lock_holder(paths), fmt::format("process {}", ::getpid()));
    CHECK_CONTAINS(refusal(paths), "another job");
    check_tidy(paths);
  }
  CHECK_FALSE(lock_holder(paths));
  CHECK(holder_in(paths).released);
  CHECK(taken_at_once(paths));
  check_tidy(paths);
}

TEST_CASE("lock: signs of life") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  RunLock lock(paths, calm(), quick);
  const Holder first = holder_in(paths);
  CHECK(comes_true([&] { return holder_in(paths).beat > first.beat; }));
  CHECK(holder_in(paths).token == first.token);
  files::remove(paths.lock());  // as a user might
  REQUIRE(comes_true([&] { return files::exists(paths.lock()); }));
  CHECK(holder_in(paths).token == first.token);
  CHECK_CONTAINS(refusal(paths), "another job");
  check_tidy(paths);
}

TEST_CASE("lock: waiting can be given up") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  write_line(paths, to_line(elsewhere()));
  const LockCalls impatient{[] { throw std::runtime_error("enough"); }, not_lost};
  CHECK(message_of<std::runtime_error>([&] { RunLock lock(paths, impatient, patient); }) == "enough");
  check_tidy(paths);
}

TEST_CASE("lock: a job that was taken for dead hears of it and writes no more") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  std::atomic<int> lost{0};
  const Holder other = elsewhere();
  {
    std::string successor;
    RunLock lock(paths, {do_nothing, [&](const std::string& holder) { successor = holder, lost++; }}, quick);
    const std::string beside = scratch.path("next");
    std::ofstream(beside) << to_line(other);
    files::rename(beside, paths.lock());
    CHECK(comes_true([&] { return lost > 0; }));
    CHECK_CONTAINS(successor, "node7");
  }
  CHECK(lost == 1);
  CHECK(files::read_text(paths.lock()) == to_line(other));
}
