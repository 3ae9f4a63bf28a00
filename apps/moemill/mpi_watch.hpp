// Says why when MPI_Init ends the process instead of returning an error, as all MPI libraries do. Used by Launch.
#pragma once

#include <sys/types.h>

namespace moemill::app {

// A child process that lives from the start of MPI_Init to its end: when this process is gone before, it says on stderr
// what that mostly means.
class MpiWatch {
 public:
  MpiWatch();
  ~MpiWatch();  // MPI has started, or has said what is wrong
  MpiWatch(const MpiWatch&) = delete;
  MpiWatch& operator=(const MpiWatch&) = delete;

 private:
  int to_child_ = -1;
  pid_t child_ = -1;
};

}  // namespace moemill::app
