// One job at a time in a run directory: on this machine, against holders of other machines (their lines are made up),
// with many newcomers at once. Times are short here; the rules are those of a job.
#include "dataset/lock/run_lock.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/clock.hpp"
#include "scratch.hpp"

using namespace moemill;
using namespace moemill::dataset;

namespace {

constexpr LockTimes quick{0.05, 0.4, 1.2, 900};
constexpr LockTimes patient{0.05, 30, 60, 900};  // where a busy machine must not look like a dead one

void do_nothing() {}
void not_lost(const std::string& holder) { FAIL_CHECK("lost to ", holder); }
LockCalls calm() { return {do_nothing, not_lost}; }

void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

Holder elsewhere() {
  Holder holder = this_process();
  holder.boot = "another-machine";
  holder.host = "node7";
  holder.slurm_job = "4711";
  return holder;
}

void write_line(const RunPaths& paths, const std::string& text) {
  files::make_folders(paths.dir);
  std::ofstream(paths.lock()) << text;
}

void set_age(const std::string& path, double seconds) {
  timespec times[2];
  ::clock_gettime(CLOCK_REALTIME, &times[0]);
  times[0].tv_sec -= static_cast<time_t>(seconds);
  times[1] = times[0];
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

template <class Holds>
bool comes_true(Holds&& holds) {
  for (int i = 0; i < 1000 && !holds(); ++i) sleep_for(0.02);
  return holds();
}

// Its line may be on its way: without links a file is there before its line, and a sign of life is written in place.
Holder holder_in(const RunPaths& paths) {
  std::optional<Holder> holder;
  REQUIRE(comes_true([&] { return (holder = parse_holder(files::read_text(paths.lock()).value_or(""))).has_value(); }));
  return *holder;
}

bool has_kernel_locks(const std::string& dir) {
  files::Descriptor file = files::open_to_append(dir + "/probe");
  struct flock lock {};
  lock.l_type = F_WRLCK;
  return ::fcntl(file.fd(), F_OFD_SETLK, &lock) == 0;
}

bool has_links(const std::string& dir) {
  files::open_to_append(dir + "/one").close(dir);
  return ::link((dir + "/one").c_str(), (dir + "/other").c_str()) == 0;
}

// A child that runs `body` and ends with 0; or with 2 on a UserError, 1 on anything else.
template <class Body>
pid_t fork_to(Body&& body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  try {
    body();
    ::_exit(0);
  } catch (const UserError&) {
    ::_exit(2);
  } catch (...) {
    ::_exit(1);
  }
}

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

void end(pid_t child) {
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

// Seconds until the lock is had; releases it.
double seconds_to_take(const RunPaths& paths, const LockTimes& times = quick) {
  const double begin = now_seconds();
  RunLock lock(paths, calm(), times);
  return now_seconds() - begin;
}

// Whether it is had without watching anybody; releases it.
bool taken_at_once(const RunPaths& paths) {
  int looks = 0;
  RunLock lock(paths, {[&] { looks++; }, not_lost}, quick);
  return looks == 0;
}

std::string refusal(const RunPaths& paths) {
  return message_of<UserError>([&] { RunLock lock(paths, calm(), patient); });
}

// Nothing but run.lock lies in the directory, or will in a moment.
void check_tidy(const RunPaths& paths) {
  CHECK(comes_true([&] { return files::list(paths.dir) == std::vector<std::string>{"run.lock"}; }));
}

}  // namespace

// Of tests/torture/no_locks.cpp: the tests below would pass without it too, and show less.
TEST_CASE("lock: a preloaded library is in force where one was asked for") {
  Scratch scratch;
  if (std::getenv("NO_LOCKS")) CHECK_FALSE(has_kernel_locks(scratch.dir()));
  if (std::getenv("NO_LINKS")) CHECK_FALSE(has_links(scratch.dir()));
}

TEST_CASE("lock: a line is whole or nothing, and has one length") {
  Holder holder = elsewhere();
  holder.beat = 12345678901234567890u;
  holder.released = true;
  const std::string line = to_line(holder);
  CHECK(line.size() == holder_line_bytes);
  CHECK(to_line(Holder{}).size() == holder_line_bytes);
  const auto read = parse_holder(line);
  REQUIRE(read);
  CHECK(read->beat == holder.beat);
  CHECK(read->token == holder.token);
  CHECK(read->released);
  CHECK(describe(*read) == fmt::format("process {} on node7, Slurm job 4711, since {}", ::getpid(), holder.since));
  for (std::size_t kept : {std::size_t{0}, std::size_t{1}, line.size() / 2, line.size() - 1})
    CHECK_FALSE(parse_holder(line.substr(0, kept)));
  auto changed = [&](const std::string& from, const std::string& to) {
    std::string other = line;
    other.replace(other.find(from), from.size(), to);
    other.resize(holder_line_bytes, ' ');
    return parse_holder(other);
  };
  CHECK(changed("node7", "node8"));
  CHECK_FALSE(changed(holder.token, ".." + holder.token.substr(2)));  // it becomes part of a file's name
  for (const char* process : {"1e300", "1.5", "4294967296", "-1", "\"1\"", "null"})
    CHECK_FALSE(changed(fmt::format("{},", holder.process), fmt::format("{},", process)));
  CHECK_FALSE(changed("\"released\":true", "\"released\":1"));
  CHECK_FALSE(parse_holder(std::string(holder_line_bytes, '\0')));
  ::setenv("SLURM_JOB_ID", std::string(3000, '"').c_str(), 1);
  CHECK(to_line(this_process()).size() == holder_line_bytes);
  ::unsetenv("SLURM_JOB_ID");
}

TEST_CASE("lock: which process it is") {
  CHECK(process_state(this_process()) == ProcessState::Alive);
  CHECK(process_state(elsewhere()) == ProcessState::Elsewhere);
  Holder holder = this_process();
  holder.started++;  // the number was given to a later process
  CHECK(process_state(holder) == ProcessState::Gone);
  holder = this_process();
  holder.processes = "pid:[1]";
  CHECK(process_state(holder) == ProcessState::Elsewhere);
  const pid_t child = fork_to([] {});
  holder = this_process();
  holder.process = child;
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK(process_state(holder) == ProcessState::Gone);  // nobody has asked for its end
  ::waitpid(child, nullptr, 0);
  CHECK(process_state(holder) == ProcessState::Gone);
}

TEST_CASE("lock: one job at a time; a killed one is in nobody's way") {
  Scratch scratch;
  const RunPaths paths{scratch.path("deep/run")};
  const pid_t child = fork_holder(paths);
  const std::string text = refusal(paths);
  CHECK_CONTAINS(text, "another job works in this run directory");
  CHECK_CONTAINS(text, fmt::format("process {}", child));
  REQUIRE(lock_holder(paths));
  ::kill(child, SIGSTOP);  // whoever stands still lives
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
  files::remove(paths.lock());  // by somebody who meant well
  REQUIRE(comes_true([&] { return files::exists(paths.lock()); }));
  CHECK(holder_in(paths).token == first.token);
  CHECK_CONTAINS(refusal(paths), "another job");
  check_tidy(paths);
}

TEST_CASE("lock: a holder on another machine that gives signs of life is left alone") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  Holder other = elsewhere();
  write_line(paths, to_line(other));
  set_age(paths.lock(), 700);  // its machine's clock is behind
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
    CHECK(lock_holder(paths));  // a moment ago it lived
    CHECK(seconds_to_take(paths) >= quick.watch);
  }
  SUBCASE("at once when it ended in order, or long ago") {
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
  const double written = now_seconds();  // what passes until somebody watches counts as silence
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

TEST_CASE("lock: waiting can be given up") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  write_line(paths, to_line(elsewhere()));
  const LockCalls impatient{[] { throw std::runtime_error("enough"); }, not_lost};
  CHECK(message_of<std::runtime_error>([&] { RunLock lock(paths, impatient, patient); }) == "enough");
  check_tidy(paths);
}

TEST_CASE("lock: who was taken for dead learns it, and writes no more") {
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

TEST_CASE("lock: of many newcomers one gets through") {
  constexpr int newcomers = 8;
  for (int round = 0; round < 30; ++round) {
    CAPTURE(round);
    Scratch scratch;
    const RunPaths paths{scratch.path("run")};
    files::make_folders(paths.dir);
    Holder before = elsewhere();
    switch (round % 4) {
      case 0: break;  // nobody
      case 1:
        before.released = true;
        write_line(paths, to_line(before));
        break;
      case 2:
        write_line(paths, to_line(before));
        set_age(paths.lock(), 5000);
        break;
      case 3: {  // one was killed between claiming and taking over
        write_line(paths, to_line(before));
        set_age(paths.lock(), 5000);
        const std::string claim = paths.lock() + ".after-" + before.token;
        Holder dead = elsewhere();
        std::ofstream(claim) << to_line(dead);
        set_age(claim, 5000);
      }
    }
    int start[2], over[2];
    REQUIRE(::pipe(start) == 0);
    REQUIRE(::pipe(over) == 0);
    std::vector<pid_t> children;
    for (int i = 0; i < newcomers; ++i) {
      children.push_back(fork_to([&] {
        ::close(start[1]), ::close(over[1]);
        char byte;
        (void)!::read(start[0], &byte, 1);  // until the parent closes its end
        RunLock lock(paths, calm(), patient);
        (void)!::read(over[0], &byte, 1);
      }));
    }
    ::close(start[0]), ::close(over[0]);
    ::close(start[1]);
    int refused = 0;
    for (int ended = 0; ended < newcomers - 1; ++ended) {
      int status = 0;
      ::wait(&status);
      refused += WIFEXITED(status) && WEXITSTATUS(status) == 2;
    }
    CHECK(refused == newcomers - 1);
    ::close(over[1]);
    int status = 0;
    ::wait(&status);
    CHECK(status == 0);
    CHECK(holder_in(paths).released);
    check_tidy(paths);
  }
}

TEST_CASE("lock: killed at any moment, it is had again at once") {
  Scratch scratch;
  const RunPaths paths{scratch.path("run")};
  const bool at_once = has_links(scratch.dir());  // without, a file may be found without its line, and is watched
  for (int round = 0; round < 60; ++round) {
    const pid_t child = fork_to([&] {
      for (;;) RunLock lock(paths, calm(), quick);
    });
    sleep_for(0.003 + 0.001 * (round % 20));
    end(child);
    const bool taken = taken_at_once(paths);
    if (at_once) CHECK(taken);
    check_tidy(paths);
  }
}
