// Holders of run.lock: this process, its children, and invented ones on different machines. Times are short; the rules
// are those of a job.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "dataset/lock/run_lock.hpp"
#include "scratch.hpp"

namespace moemill::dataset {

inline constexpr LockTimes quick{0.05, 0.4, 1.2, 900};
inline constexpr LockTimes patient{0.05, 30, 60, 900};  // for tests in which a busy machine must not look dead

inline void do_nothing() {}
inline void not_lost(const std::string& holder) { FAIL_CHECK("lost to ", holder); }
inline LockCalls calm() { return {do_nothing, not_lost}; }

inline void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

inline Holder elsewhere() {
  Holder holder = this_process();
  holder.boot = "another-machine";
  holder.host = "node7";
  holder.slurm_job = "4711";
  return holder;
}

inline void write_line(const RunPaths& paths, const std::string& text) {
  files::make_folders(paths.dir);
  std::ofstream(paths.lock()) << text;
}

inline void set_age(const std::string& path, double seconds) {
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

// Waits for the line: without links a file exists before its line, and a heartbeat is written in place.
inline Holder holder_in(const RunPaths& paths) {
  std::optional<Holder> holder;
  REQUIRE(comes_true([&] { return (holder = parse_holder(files::read_text(paths.lock()).value_or(""))).has_value(); }));
  return *holder;
}

inline bool has_kernel_locks(const std::string& dir) {
  files::Descriptor file = files::open_to_append(dir + "/probe");
  struct flock lock {};
  lock.l_type = F_WRLCK;
  return ::fcntl(file.fd(), F_OFD_SETLK, &lock) == 0;
}

inline bool has_links(const std::string& dir) {
  files::open_to_append(dir + "/one").close(dir);
  return ::link((dir + "/one").c_str(), (dir + "/other").c_str()) == 0;
}

// A child that runs `body` and exits with 0, with 2 after a UserError, with 1 after all different exceptions.
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

// Whether the lock is taken without watching its last holder. It is released again.
inline bool taken_at_once(const RunPaths& paths) {
  int looks = 0;
  RunLock lock(paths, {[&] { looks++; }, not_lost}, quick);
  return looks == 0;
}

inline std::string refusal(const RunPaths& paths) {
  return message_of<UserError>([&] { RunLock lock(paths, calm(), patient); });
}

// Checks that the directory has only run.lock, now or in a moment.
inline void check_tidy(const RunPaths& paths) {
  CHECK(comes_true([&] { return files::list(paths.dir) == std::vector<std::string>{"run.lock"}; }));
}

}  // namespace moemill::dataset
