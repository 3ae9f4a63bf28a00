// How this process was started: by a launcher as one rank of several, or as the only one (then MPI is not even
// initialised, so that a plain command works wherever the program runs, and as often as one likes in a launched step).
#pragma once

#include <functional>
#include <optional>

#include "system/comm/comm.hpp"

namespace moemill::app {

class Launch {
 public:
  Launch();  // UserError when MPI does not see the ranks that the launcher started
  Comm world() const { return session_ ? Comm::world() : Comm::alone(); }

 private:
  std::optional<MpiSession> session_;
};

// A command's body on all ranks, and what it throws as its exit code: a fault that all have agreed on is told by rank 0
// and all leave in order; one rank's own fault, for whom the others wait, ends the job.
int on_all_ranks(const Comm& world, const std::function<int()>& body);

}  // namespace moemill::app
