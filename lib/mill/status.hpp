// `moemill status`: what dataset/status read from a run directory, as text or JSON.
#pragma once

#include <string>

#include "dataset/status.hpp"

namespace moemill::mill {

enum class StatusForm { Text, Json };
// Rows: done + failed + pending = total. The rate and the ETA are the last ones of metrics.jsonl.
std::string status_text(const dataset::RunStatus& status, StatusForm form);
// The run's own exit code; 75 while it runs or when it was killed, because running the command (again) is what helps.
int exit_code_of(const dataset::RunStatus& status);

}  // namespace moemill::mill
