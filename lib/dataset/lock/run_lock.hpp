// run.lock: one job at a time in a run directory, on every kind of file system, and a dead job blocks none. Rank 0 of a
// job takes it, `status` reads it. Where the kernel's locks do not work (across machines, on file systems without
// locks) it relies on heartbeats: the holder rewrites its line every few seconds.
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

struct LockTimes {    // seconds
  double beat = 3;    // between two heartbeats
  double watch = 10;  // a holder on another machine that is silent for so long is dead
  // As `watch`, but while the file server keeps the holder's lock: it drops the locks of dead machines late.
  double kept_by_server = 60;
  // A holder that was silent for so long is dead without being watched. Some file systems write a machine's own time,
  // so this is longer than the clocks of a cluster differ (munge and Kerberos allow 5 minutes).
  double surely_over = 900;
};

struct LockCalls {
  // Called a few times per second while the constructor watches a holder; may throw to give up.
  std::function<void()> waiting;
  // Called from the heartbeat's thread when another job has taken over, because it took this one for dead. This job
  // must write no more.
  std::function<void(const std::string& holder)> lost;
};

// Held by one rank for the length of a job.
class RunLock {
 public:
  // Makes the directory when it is absent. UserError, with the holder and since when, if another job holds it.
  RunLock(const RunPaths& paths, LockCalls calls, LockTimes times = {});
  // Marks the lock as released: the job ended cleanly.
  ~RunLock();
  // Makes the destructor leave the lock unreleased, because further ranks may still be running: the next job then waits
  // as it would after a kill.
  void leave_unreleased() { released_at_end_ = false; }
  // The last heartbeat of the previous job if it did not end cleanly, seconds by the file system's clock.
  std::optional<double> last_heartbeat_of_killed() const { return last_heartbeat_of_killed_; }
  // How long that job had held the lock by then, by a steady clock; nothing if its version did not record it.
  std::optional<double> seconds_held_by_killed() const { return seconds_held_by_killed_; }
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  bool try_to_take();
  bool take_over(const std::string& path, const LockSnapshot& dead);
  bool may_follow(const std::string& path, const LockSnapshot& there);
  bool stays_silent(const std::string& path, const LockSnapshot& there);
  bool is_mine(const LockSnapshot& snapshot) const;
  void remove_leftovers() const;
  void send_heartbeats();
  void send_heartbeat();
  void restore();

  std::string dir_, path_;
  LockCalls calls_;
  LockTimes times_;
  Holder me_;
  double began_;  // now_seconds()
  OwnLockFile file_;
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  std::optional<double> last_heartbeat_of_killed_, seconds_held_by_killed_;
  bool ended_ = false;
  bool released_at_end_ = true;
  bool lost_ = false;    // written by the thread, read by the destructor after the thread has ended
  bool warned_ = false;  // used by the thread only
  std::thread heartbeats_;
};

// The holder of the lock, if there is one; for status. Writes nothing.
std::optional<std::string> lock_holder(const RunPaths& paths, const LockTimes& times = {});

}  // namespace moemill::dataset
