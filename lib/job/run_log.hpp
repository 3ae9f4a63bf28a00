// RUN_DIR/run.log, for `tail -f` from any node: what rank 0 logs, with full dates, and why it ended. Made by run_job.
// No part of the outputs: the program never reads it, and when it cannot be written that is said once and the job goes
// on.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/run_dir/run_dir.hpp"

namespace moemill::mill {

// Rank 0's. What is logged before `open` is kept until then, and forgotten when it never comes: a job that did not get
// the run directory leaves no line in it.
class RunLog {
 public:
  RunLog();
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;
  // Under the run's lock: one line that tells who works now, then what was kept and what follows.
  void open(const dataset::RunPaths& paths, std::string_view header);

 private:
  void take(std::string_view line);

  std::mutex mutex_;
  std::string path_;  // "" before `open`
  std::vector<std::string> kept_;
  bool given_up_ = false;  // the file cannot be written
};

// Another rank's last words, when it is about to end the whole job.
void append_to_run_log(const dataset::RunPaths& paths, std::string_view fault);

}  // namespace moemill::mill
