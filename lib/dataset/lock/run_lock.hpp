// run.lock: one job at a time in a run directory, on every kind of file system, and a dead job is in nobody's way.
// Taken by rank 0 of a job, looked at by `status`. Where the kernel's locks do not reach (other machines, file systems
// without locks) it goes by signs of life: the holder writes its line again every few seconds.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "dataset/lock/lock_file.hpp"
#include "dataset/run_dir/run_dir.hpp"

namespace moemill::dataset {

struct LockTimes {             // seconds
  double beat = 3;             // between two signs of life
  double watch = 10;           // so long none is seen: a holder on another machine is dead
  double kept_by_server = 60;  // the same while its lock is kept, for a file server forgets those of dead machines late
  // Nobody watches who was silent for so long: more than the clocks of one cluster differ (munge and Kerberos allow 5
  // minutes), since some file systems write a machine's own time.
  double surely_over = 900;
};

struct LockCalls {
  // A few times a second while a holder is watched, which is before the lock is made; may throw to give up.
  std::function<void()> waiting;
  // From another thread: another job has taken over, because this one was taken for dead. It must write no more.
  std::function<void(const std::string& holder)> lost;
};

// Held by one rank for the length of a job.
class RunLock {
 public:
  // Makes the directory when it is absent. UserError, with who holds it since when, if another job does.
  RunLock(const RunPaths& paths, LockCalls calls, LockTimes times = {});
  ~RunLock();  // says that the job ended in order, unless
  // ... other ranks may still be at work: then the next job on another machine waits as it does for a killed one.
  void leave_unreleased() { released_at_end_ = false; }
  // When the job before, that did not end in order, gave its last one, by the file system's clock; nothing without
  // such.
  std::optional<double> last_sign_of_the_dead() const { return last_sign_of_the_dead_; }
  // How long it had held the lock by then, by a clock that nobody sets; nothing where its version did not say.
  std::optional<double> seconds_of_the_dead() const { return seconds_of_the_dead_; }
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  bool try_to_take();
  bool succeed(const std::string& path, const LockSight& dead);
  bool may_follow(const std::string& path, const LockSight& there);
  bool stays_silent(const std::string& path, const LockSight& there);
  bool is_mine(const LockSight& sight) const;
  void remove_leftovers() const;
  void give_signs();
  void give_sign();
  void put_back();

  std::string dir_, path_;
  LockCalls calls_;
  LockTimes times_;
  Holder me_;
  double began_;  // now_seconds()
  OwnLockFile file_;
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  std::optional<double> last_sign_of_the_dead_, seconds_of_the_dead_;
  bool ended_ = false;
  bool released_at_end_ = true;
  bool lost_ = false;    // of the thread, and of the destructor when that is over
  bool warned_ = false;  // of the thread
  std::thread signs_;
};

// Who holds the lock, if anybody does; for status. Writes nothing.
std::optional<std::string> lock_holder(const RunPaths& paths, const LockTimes& times = {});

}  // namespace moemill::dataset
