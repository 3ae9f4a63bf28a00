// A whole `moemill run`, from the request, which is the same on all ranks, to the exit code. Collective over the world.
#pragma once

#include <string>

#include "base/error.hpp"
#include "job/run_setup.hpp"
#include "mill/stop.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// `started` is now_seconds() at the start of the program. Throws AgreedFailure on every rank if the job cannot run;
// any other exception occurs on one rank only, and the caller must then abort all ranks (Comm::abort).
ExitCode run_job(const Comm& world, StopSignals& signals, const RunRequest& request, double started);

}  // namespace moemill::mill
