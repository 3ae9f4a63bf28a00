// A run directory whose last holder was on a different machine, with invented lines.
#include <doctest/doctest.h>

#include <atomic>

#include "dataset/lock/run_lock.hpp"
#include "lock_for_tests.hpp"

using namespace moemill;
using namespace moemill::dataset;

namespace {

// Seconds until the lock is taken. It is released again.
double seconds_to_take(const RunPaths& paths, const LockTimes& times = quick) {
  const double begin = now_seconds();
  RunLock lock(paths, calm(), times);
  return now_seconds() - begin;
}

}  // namespace

TEST_CASE("lock: a holder on another machine that gives signs of life is left alone") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  Holder other = elsewhere();
  write_line(paths, to_line(other));
  set_age(paths.lock(), 700);  // the clock of its machine is behind
  std::atomic<bool> over{false};
  std::thread play([&] {
    while (!over) {
      other.beat++;
      std::fstream(paths.lock(), std::ios::in | std::ios::out) << to_line(other);  // in place, as a holder does
      set_age(paths.lock(), 700);
      sleep_for(0.05);
    }
  });
  const std::string text = refusal(paths);
  over = true;
  play.join();
  CHECK_CONTAINS(text, "node7");
  CHECK_CONTAINS(text, "Slurm job 4711");
  check_tidy(paths);
}

TEST_CASE("lock: a silent holder on another machine is followed") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  SUBCASE("after a while of watching") {
    write_line(paths, to_line(elsewhere()));
    CHECK(lock_holder(paths));  // its last heartbeat was a moment ago
    CHECK(seconds_to_take(paths) >= quick.watch);
  }
  SUBCASE("at once when it ended cleanly, or long ago") {
    Holder other = elsewhere();
    other.released = true;
    write_line(paths, to_line(other));
    CHECK_FALSE(lock_holder(paths));
    CHECK(taken_at_once(paths));
    write_line(paths, to_line(elsewhere()));
    set_age(paths.lock(), 1000);
    CHECK_FALSE(lock_holder(paths));
    CHECK(taken_at_once(paths));
  }
  SUBCASE("also when its line is torn, or not there yet") {
    for (const std::string& text : {std::string(), to_line(elsewhere()).substr(0, 100)}) {
      write_line(paths, text);
      CHECK_FALSE(lock_holder(paths));
      CHECK(seconds_to_take(paths) >= quick.watch);
    }
  }
  check_tidy(paths);
}

TEST_CASE("lock: one that the file server keeps for a dead machine") {
  Scratch scratch;
  if (!has_kernel_locks(scratch.dir())) {
    MESSAGE("SKIPPED: this file system has no locks");
    return;
  }
  const RunPaths paths{scratch.path("run")};
  const double written = now_seconds();  // the silence begins before a job watches
  write_line(paths, to_line(elsewhere()));
  files::Descriptor server = files::open_to_append(paths.lock());
  struct flock lock {};
  lock.l_type = F_WRLCK;
  REQUIRE(::fcntl(server.fd(), F_OFD_SETLK, &lock) == 0);
  SUBCASE("is watched for longer") {
    seconds_to_take(paths);
    CHECK(now_seconds() - written >= quick.kept_by_server - 0.1);
  }
  SUBCASE("not when it was silent before") {
    set_age(paths.lock(), 100);
    CHECK_CONTAINS(*lock_holder(paths, quick), "no sign of life for");
    CHECK(seconds_to_take(paths, {0.05, 0.4, 60, 900}) < 40);
  }
  SUBCASE("not of a program that gives no signs") {
    write_line(paths, "process 12 on node7, since 2026-01-31T23:59:59Z\n");
    CHECK_CONTAINS(*lock_holder(paths), "process 12 on node7");
    CHECK_CONTAINS(refusal(paths), "process 12 on node7");
  }
}
