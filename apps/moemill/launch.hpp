// How this process was started: by mpirun or srun as one rank of several, or plainly as the only one (then MPI is not
// even initialised, so that a plain command works wherever the program runs).
#pragma once

#include <optional>

#include "system/comm.hpp"

namespace moemill::app {

class Launch {
 public:
  Launch();  // UserError when srun started several tasks without PMIx: they would not know of each other
  Comm world() const { return session_ ? Comm::world() : Comm::alone(); }

 private:
  std::optional<MpiSession> session_;
};

}  // namespace moemill::app
