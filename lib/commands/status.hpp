// `moemill status`: the state of a run directory, as text or JSON. Read-only.
#pragma once

#include <string>

#include "dataset/checks/status.hpp"

namespace moemill::mill {

// The run in `dir` as it is on disk. UserError if there is none. `counter` may come from earlier calls.
dataset::RunStatus read_run_status(const std::string& dir, dataset::RunCounter& counter);

enum class StatusForm { Text, Json };
// Rows: done + failed + pending = total. Rate and ETA are those of the last line of metrics.jsonl.
std::string status_text(const dataset::RunStatus& status, StatusForm form);
// The exit code of the run; 75 while it runs or if it was killed, because the command can then be run again.
int exit_code_of(const dataset::RunStatus& status);

}  // namespace moemill::mill
