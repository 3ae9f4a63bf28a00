// runtime.stop_file: whoever makes a file of this name asks the job to stop. Rank 0 looks for it.
#pragma once

#include <optional>
#include <string>

#include "system/files/files.hpp"

namespace moemill::mill {

class StopFile {
 public:
  // To be made as early as possible in a job: what lies in the run directory then has stopped an earlier one. UserError
  // when that is a folder or holds more than a few words, or the name is one of the run's own files. `dir`: of the run,
  // may be absent.
  StopFile(const std::string& dir, const std::string& name);
  // Since the job began; for a file outside of the run directory, ever: it speaks to all jobs that look for it. One
  // that cannot be looked for (a file server that is away for a moment) does not ask, which is said once.
  bool asks();
  // The file that stopped an earlier job. One outside of the run directory is left to whoever made it.
  void remove_old();
  // Of people: its path, and what it takes to go on where the next job would stop at once.
  std::string told() const;

 private:
  std::string path_;
  bool inside_;  // of the run directory
  std::optional<files::Stamp> old_;
  bool warned_ = false;
};

}  // namespace moemill::mill
