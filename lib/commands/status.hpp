// `moemill status`: what a run directory says, as text or JSON. Read-only.
#pragma once

#include <string>

#include "dataset/checks/status.hpp"

namespace moemill::mill {

// The run in `dir` as it is on disk. UserError when there is none. `counter`: of the looks before.
dataset::RunStatus read_run_status(const std::string& dir, dataset::RunCounter& counter);

enum class StatusForm { Text, Json };
// Rows: done + failed + pending = total. The rate and the ETA are the last ones of metrics.jsonl.
std::string status_text(const dataset::RunStatus& status, StatusForm form);
// The run's own exit code; 75 while it runs or when it was killed, because running the command (again) is what helps.
int exit_code_of(const dataset::RunStatus& status);

}  // namespace moemill::mill
