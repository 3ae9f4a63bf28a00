// RUN_DIR/run.log, for `tail -f` from any node: rank 0's log with full dates, and the reason for the job's end. Made by
// run_job. The program never reads it; if it cannot be written, one warning says so and the job continues.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/run_dir/run_dir.hpp"

namespace moemill::mill {

// Rank 0's log. Lines logged before `open` are kept until then, and dropped if it is never called: a job that did not
// get the run directory leaves no line in it.
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
  bool given_up_ = false;  // whether the file cannot be written
};

// Adds the last message of a rank that is about to abort the whole job.
void append_to_run_log(const dataset::RunPaths& paths, std::string_view fault);

}  // namespace moemill::mill
