#include "dataset/lock/run_lock.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace moemill::dataset {
namespace {

constexpr int most_tries = 200;  // a try fails when another job is first; so many failures mean a broken file system
constexpr std::chrono::milliseconds short_while{50};

[[noreturn]] void refuse(const std::string& dir, const LockSnapshot& holder) {
  user_error("{}: another job works in this run directory ({}): wait for it or stop it; output.dir names another one",
             dir, holder.description());
}

bool changed(const LockSnapshot& before, const LockSnapshot& now) {
  return now.text != before.text || now.written != before.written;
}

}  // namespace

// How the lock changes hands. The holder is the job whose line is in run.lock. No job writes into another job's
// file. A newcomer that may follow the holder T gives its own, complete file the name run.lock.after-T, which only one
// job can do. It checks once more that run.lock is T's and then renames its file to run.lock.
//
// Only one job succeeds, even without the kernel's locks: to rename, a job needs the name after-T while T is in
// run.lock. A later job finds that name taken or, once the rename has freed it, a different holder in run.lock (a file
// system that caches names looks again after it has made a file in the folder). If a newcomer N dies between the two
// steps, after-T remains and is replaced in the same way, through after-N.
//
// One case remains: a newcomer that is suspended exactly between its check and its rename, for as long as a dead job is
// watched, may run beside its successor until the next heartbeat, as any suspended holder may; then the job that is not
// in run.lock ends.
RunLock::RunLock(const RunPaths& paths, LockCalls calls, LockTimes times)
    : dir_(paths.dir),
      path_(paths.lock()),
      calls_(std::move(calls)),
      times_(times),
      me_(this_process()),
      began_(now_seconds()),
      file_(path_, me_) {
  files::make_folders(dir_);
  try {
    for (int tries = 0; !try_to_take(); ++tries) {
      if (tries == most_tries) system_error("{}: cannot be taken, although no job holds it", path_);
      std::this_thread::sleep_for(short_while);
    }
  } catch (...) {
    file_.remove_temporary();
    throw;
  }
  remove_leftovers();
  heartbeats_ = std::thread([this] { send_heartbeats(); });
}

RunLock::~RunLock() {
  {
    const std::lock_guard hold(mutex_);
    ended_ = true;
  }
  ended_changed_.notify_all();
  heartbeats_.join();
  if (lost_ || !released_at_end_) return;
  try {
    me_.released = true;
    file_.write(me_);
  } catch (const std::exception& e) {
    // This is harmless: the next job sees that the process is gone or silent.
    log::warning("the end of the job is not in run.lock: {}", e.what());
  }
}

bool RunLock::try_to_take() {
  const auto there = look(path_);
  if (!there) return file_.place(path_, me_);
  if (is_mine(*there)) return true;  // a network file system that repeats a rename may report a missing file
  if (!may_follow(path_, *there) || !take_over(path_, *there)) return false;
  if (there->holder && !there->holder->released) {
    last_heartbeat_of_killed_ = there->written;
    if (there->holder->held_seconds >= 0) seconds_held_by_killed_ = there->holder->held_seconds;
  }
  return true;
}

// Replaces a dead job's file by this job's: run.lock, or the claim of a newcomer that died. False if another job
// was first.
bool RunLock::take_over(const std::string& path, const LockSnapshot& dead) {
  const std::string claim = path_ + ".after-" + dead.generation();
  if (!file_.place(claim, me_)) {
    const auto other = look(claim);
    if (!other || !may_follow(claim, *other) || !take_over(claim, *other)) return false;
  }
  const auto now = look(path);
  if (now && now->generation() == dead.generation()) return files::rename_if_there(claim, path);
  files::remove(claim);
  return false;
}

bool RunLock::is_mine(const LockSnapshot& snapshot) const {
  return snapshot.holder && snapshot.holder->token == me_.token;
}

// False if the file has changed hands meanwhile, so that the caller must look again. UserError if the holder is alive.
bool RunLock::may_follow(const std::string& path, const LockSnapshot& there) {
  if (!there.holder) {
    if (there.kernel_locked) refuse(dir_, there);  // a program that gives no heartbeats
    return stays_silent(path, there);
  }
  if (there.holder->released) return true;
  switch (process_state(*there.holder)) {
    case ProcessState::Alive: refuse(dir_, there);
    case ProcessState::Elsewhere: return stays_silent(path, there);
    case ProcessState::Gone: break;
  }
  log::info("{}: the job before ({}) was killed", path_, there.description());
  return true;
}

// Called for a holder whose process cannot be seen from here. Every look opens the file again.
bool RunLock::stays_silent(const std::string& path, const LockSnapshot& there) {
  file_.write(me_);  // for the file system's present time, which the holder's file is compared with
  const double silent = std::max(0.0, file_.written() - there.written);
  if (!there.kernel_locked && silent > times_.surely_over) return true;
  log::warning("{}: {} has not ended cleanly and cannot be asked from here: watching for a sign of life", path,
               there.description());
  const double begin = now_seconds();
  bool kernel_locked = there.kernel_locked;
  auto wanted = [&] { return std::max(times_.watch, kernel_locked ? times_.kept_by_server - silent : 0.0); };
  while (now_seconds() - begin < wanted()) {
    calls_.waiting();
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(0.2, times_.beat / 4)));
    const auto now = look(path);
    if (!now || now->generation() != there.generation()) return false;
    if (now->holder && now->holder->released) return true;
    if (changed(there, *now)) refuse(dir_, *now);
    kernel_locked = now->kernel_locked;
  }
  log::warning("{}: no sign of life of {} for {:.0f} s: taking the run directory over", path, there.description(),
               silent + now_seconds() - begin);
  return true;
}

// Removes the files of jobs that were killed while they took the lock, and this job's temporary name. A job that is
// about to take the lock is not harmed: it looks for the holder again when its file is gone.
void RunLock::remove_leftovers() const {
  const std::string prefix = path_.substr(dir_.size() + 1) + ".";
  for (const std::string& name : files::list(dir_))
    if (name.starts_with(prefix)) files::remove(dir_ + "/" + name);
}

void RunLock::send_heartbeats() {
  const auto beat = std::chrono::duration<double>(times_.beat);
  std::unique_lock hold(mutex_);
  while (!lost_ && !ended_changed_.wait_for(hold, beat, [&] { return ended_; })) {
    hold.unlock();
    send_heartbeat();
    hold.lock();
  }
}

// Errors are logged, because a heartbeat that fails is no reason to end the job.
void RunLock::send_heartbeat() {
  try {
    const auto there = look(path_);
    if (there && there->holder && there->holder->token != me_.token) {
      const std::string holder = there->description();  // may throw; then the next beat looks again
      lost_ = true;
      return calls_.lost(holder);
    }
    if (!there) restore();
    me_.beat++;
    me_.held_seconds = now_seconds() - began_;
    file_.write(me_);
  } catch (const std::exception& e) {
    file_.touch();
    if (!warned_) log::warning("no sign of life could be given, another job may take over: {}", e.what());
    warned_ = true;
  }
}

// Called when run.lock was removed from outside, because the next job would find the directory free.
void RunLock::restore() {
  log::warning("{}: was removed while the job runs; it is there again", path_);
  file_.forget();
  file_.place(path_, me_);  // if another job was first, the next look shows it
  file_.remove_temporary();
}

std::optional<std::string> lock_holder(const RunPaths& paths, const LockTimes& times) {
  const auto there = look(paths.lock());
  if (!there || (there->holder && there->holder->released)) return std::nullopt;
  if (!there->holder) return there->kernel_locked ? std::optional(there->description()) : std::nullopt;
  switch (process_state(*there->holder)) {
    case ProcessState::Alive: return there->description();
    case ProcessState::Gone: return std::nullopt;
    case ProcessState::Elsewhere: break;
  }
  // This is the machine's clock, because the file system's can only be read by writing a file.
  const double silent = static_cast<double>(std::time(nullptr)) - there->written;
  if (silent <= times.kept_by_server) return there->description();
  if (!there->kernel_locked) return std::nullopt;
  return fmt::format("{}, no sign of life for {:.0f} s", there->description(),
                     silent);  // suspended, or its machine is lost
}

}  // namespace moemill::dataset
