// A lock file as others see it, and a job's own one that comes to stand under a name. Used by run_lock. Both work on
// any file system: new names are given by link() or O_EXCL, which are atomic also between machines.
#pragma once

#include <optional>
#include <string>

#include "dataset/lock/lock_holder.hpp"
#include "system/files/files.hpp"

namespace moemill::dataset {

// What is seen of a lock file at one moment.
struct LockSight {
  std::string text;
  std::optional<Holder> holder;  // nothing: torn, empty, or not of this program
  double written = 0;            // when, seconds by the file system's clock
  bool kernel_locked = false;    // the kernel, or the file server, says that a process has locked it

  // Tells this holder's file from those before and after it.
  std::string generation() const;
  std::string told() const;  // who it is, for messages
};

// Opens the file anew, so that a network file system asks its server; nothing when there is none. Reads only.
std::optional<LockSight> look(const std::string& path);

// A file of this job's own: made under a temporary name, locked, with the job's line; then placed under the name that
// counts.
class OwnLockFile {
 public:
  // `path`: of run.lock. Nothing is made yet.
  OwnLockFile(const std::string& path, const Holder& me);
  // Makes the file when it is not there, and writes the line into it, durably.
  void write(const Holder& me);
  // When it was written last, seconds by the file system's clock.
  double written() const;
  void touch();  // a sign of life where writing fails
  // Under `name` too, if there is no such file; false when there is. Whoever looks finds a whole line.
  bool place(const std::string& name, const Holder& me);
  void remove_temporary();
  // The file was replaced or removed by others: the next one is a new one.
  void forget() { file_ = {}; }

 private:
  void lock_by_kernel();

  std::string path_;  // for messages: whatever its name is at the moment, it is run.lock to the user
  std::string temporary_;
  files::Descriptor file_;
};

}  // namespace moemill::dataset
