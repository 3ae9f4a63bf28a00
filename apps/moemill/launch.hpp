// How this process was started: by a launcher as one of several ranks, or alone. A process alone does not initialize
// MPI, so that a plain command works wherever the program runs, and any number of times within a launched step.
#pragma once

#include <functional>
#include <optional>

#include "system/comm/comm.hpp"

namespace moemill::app {

class Launch {
 public:
  Launch();  // UserError if MPI does not see the ranks that the launcher started
  Comm world() const { return session_ ? Comm::world() : Comm::alone(); }

 private:
  std::optional<MpiSession> session_;
};

// Runs a command's body on all ranks and turns exceptions into exit codes. If the ranks have agreed on a failure, rank
// 0 reports it and all exit cleanly; the failure of one rank, which the remaining ranks would wait for, ends the job.
int on_all_ranks(const Comm& world, const std::function<int()>& body);

}  // namespace moemill::app
