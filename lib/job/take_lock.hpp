// Takes the run directory for this job alone, or ends the job. Used by rank 0 of run_job.
#pragma once

#include <optional>

#include "dataset/lock/run_lock.hpp"
#include "mill/stop.hpp"

namespace moemill::mill {

// Puts the lock into `lock`, where it stays until the end of the job. UserError if another job works in the directory.
// May watch a holder on another machine for some seconds; a request to stop ends that with StopRequested.
void take_lock(std::optional<dataset::RunLock>& lock, const dataset::RunPaths& paths, StopWish& stop);

}  // namespace moemill::mill
