// The run directory is this job's alone from here on, or the job ends. Used by rank 0 of run_job.
#pragma once

#include <optional>

#include "dataset/lock/run_lock.hpp"
#include "mill/stop.hpp"

namespace moemill::mill {

// Into `lock`, where it stays to the end of the job. UserError when another job works there. May watch a holder on
// another machine for some seconds; a wish to stop ends that with StopRequested.
void take_lock(std::optional<dataset::RunLock>& lock, const dataset::RunPaths& paths, StopWish& stop);

}  // namespace moemill::mill
