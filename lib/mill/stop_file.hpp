// runtime.stop_file: creating a file of this name asks the job to stop. Rank 0 looks for it.
#pragma once

#include <optional>
#include <string>

#include "system/files/files.hpp"

namespace moemill::mill {

class StopFile {
 public:
  // Must be constructed as early as possible in a job: a file that exists then has stopped an earlier job. UserError if
  // it is a folder or holds more than a few words, or if the name is one of the run's own files. `dir` is the run
  // directory, which may not exist yet.
  StopFile(const std::string& dir, const std::string& name);
  // Whether the file was created since the job began; a file outside the run directory counts whenever it exists,
  // because it applies to all jobs that look for it. If looking fails (a file server is away for a moment), the answer
  // is no, and one warning says so.
  bool asks();
  // Removes the file that stopped an earlier job. A file outside the run directory is never removed.
  void remove_old();
  // Human-readable: the file's path and, if it would stop the next job immediately, how to continue.
  std::string description() const;

 private:
  std::string path_;
  bool inside_;  // whether it is inside the run directory
  std::optional<files::Stamp> old_;
  bool warned_ = false;
};

}  // namespace moemill::mill
