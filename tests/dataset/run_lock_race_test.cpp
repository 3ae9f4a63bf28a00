// Many jobs that want one run directory at once, and jobs that are killed at any moment.
#include <doctest/doctest.h>

#include <csignal>
#include <fstream>

#include "dataset/lock/run_lock.hpp"
#include "lock_for_tests.hpp"

using namespace moemill;
using namespace moemill::dataset;

namespace {

// What the last holder left: nothing, a clean release, an old line, or an old line and the claim of a job that was
// killed before it took over.
void leave_behind(const RunPaths& paths, int kind) {
  files::make_folders(paths.dir);
  if (kind == 0) return;
  Holder before = elsewhere();
  before.released = kind == 1;
  write_line(paths, to_line(before));
  if (kind == 1) return;
  set_age(paths.lock(), 5000);
  if (kind == 2) return;
  const std::string claim = paths.lock() + ".after-" + before.token;
  std::ofstream(claim) << to_line(elsewhere());
  set_age(claim, 5000);
}

struct Pipe {
  int ends[2];
  Pipe() { REQUIRE(::pipe(ends) == 0); }
  int read_end() const { return ends[0]; }
  int write_end() const { return ends[1]; }
};

// A child that takes the lock once `start` is closed and keeps it until `over` is.
void fork_newcomer(const RunPaths& paths, const Pipe& start, const Pipe& over) {
  fork_to([&] {
    ::close(start.write_end()), ::close(over.write_end());
    char byte;
    (void)!::read(start.read_end(), &byte, 1);
    RunLock lock(paths, calm(), patient);
    (void)!::read(over.read_end(), &byte, 1);
  });
}

int status_of_next_child() {
  int status = 0;
  ::wait(&status);
  return status;
}

}  // namespace

TEST_CASE("lock: one of many newcomers gets through") {
  constexpr int newcomers = 8;
  for (int round = 0; round < 30; ++round) {
    CAPTURE(round);
    Scratch scratch;
    const RunPaths paths{scratch.path("run")};
    leave_behind(paths, round % 4);
    const Pipe start, over;
    for (int i = 0; i < newcomers; ++i) fork_newcomer(paths, start, over);
    ::close(start.read_end()), ::close(over.read_end());
    ::close(start.write_end());
    int refused = 0;
    for (int ended = 0; ended < newcomers - 1; ++ended) {
      const int status = status_of_next_child();
      refused += WIFEXITED(status) && WEXITSTATUS(status) == 2;
    }
    CHECK(refused == newcomers - 1);
    ::close(over.write_end());
    CHECK(status_of_next_child() == 0);
    CHECK(holder_in(paths).released);
    check_tidy(paths);
  }
}

TEST_CASE("lock: killed at any moment, it is had again at once") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  const bool at_once = has_links(scratch.dir());  // without links a file may lack its line and is watched
  for (int round = 0; round < 60; ++round) {
    const pid_t child = fork_to([&] {
      for (;;) RunLock lock(paths, calm(), quick);
    });
    sleep_for(0.003 + 0.001 * (round % 20));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const bool taken = taken_at_once(paths);
    if (at_once) CHECK(taken);
    check_tidy(paths);
  }
}
