// RUN_DIR/run.log, for `tail -f` from any node: rank 0's log with full dates, and the reason why the job ended. Written
// by run_job. The program never reads it; if it cannot be written, one warning says so and the job continues.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/run_dir/run_dir.hpp"

namespace moemill::mill {

// Copies rank 0's log to the file. Lines logged before `open` are kept in memory until then, and dropped if `open` is
// never called: a job that did not get the run directory leaves no line there.
class RunLog {
 public:
  RunLog();
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;
  // Called under the run's lock: writes one line about this job, then the kept lines, then all that follow.
  void open(const dataset::RunPaths& paths, std::string_view header);

 private:
  void take(std::string_view line);

  std::mutex mutex_;
  std::string path_;  // "" before `open`
  std::vector<std::string> kept_;
  bool given_up_ = false;  // a write has failed; no further one is tried
};

// Adds to the file the last message of a rank that is about to abort the whole job.
void append_to_run_log(const dataset::RunPaths& paths, std::string_view fault);

}  // namespace moemill::mill
