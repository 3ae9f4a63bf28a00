// A lock file as any job sees it, and a job's own lock file. Used by run_lock. Both work on any file system: a file
// gets its name by link() or O_EXCL, which are atomic also between machines.
#pragma once

#include <optional>
#include <string>

#include "dataset/lock/lock_holder.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {

// A lock file at one moment.
struct LockSnapshot {
  std::string text;
  std::optional<Holder> holder;  // nothing if the file is torn, empty, or not written by this program
  double written = 0;            // time of the last write, seconds by the file system's clock
  bool kernel_locked = false;    // the kernel or the file server reports that a process has locked it

  // Distinguishes this holder's file from those before and after it.
  std::string generation() const;
  std::string description() const;  // the holder, for messages
};

// Opens the file again, so that a network file system asks its server; nothing when there is none. Reads only.
std::optional<LockSnapshot> look(const std::string& path);

// A job's own lock file: made under a temporary name, locked and filled with the job's line, then placed under the name
// that counts.
class OwnLockFile {
 public:
  // `path` is that of run.lock. No file is made yet.
  OwnLockFile(const std::string& path, const Holder& me);
  // Makes the file if it does not exist, and writes the line into it, durably.
  void write(const Holder& me);
  // Time of the last write, seconds by the file system's clock.
  double written() const;
  void touch();  // a heartbeat where writing fails
  // Gives the file the additional name `name`; false if that name is taken. Under it, every job finds a whole line.
  bool place(const std::string& name, const Holder& me);
  void remove_temporary();
  // Called when the file was replaced or removed from outside: the next write makes a new one.
  void forget() { file_ = {}; }

 private:
  void lock_by_kernel();

  std::string path_;  // run.lock, for messages, whatever the file's name is at the moment
  std::string temporary_;
  files::Descriptor file_;
};

}  // namespace moemill::dataset
