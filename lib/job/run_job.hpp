// A whole `moemill run`: from the agreed request to the exit code. Collective over the world.
#pragma once

#include <string>

#include "base/error.hpp"
#include "job/run_setup.hpp"
#include "mill/stop.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// `started`: now_seconds() at the start of the program. AgreedFailure on every rank when the job cannot work; anything
// else that comes out is one rank's own and must end the others too (Comm::abort).
ExitCode run_job(const Comm& world, StopSignals& signals, const RunRequest& request, double started);

}  // namespace moemill::mill
