// Reports the likely reason if MPI_Init ends the process instead of returning an error, as all MPI libraries do. Used
// by Launch.
#pragma once

#include <sys/types.h>

namespace moemill::app {

// A child process that lives while MPI_Init runs. If this process ends before that, the child reports the usual reasons
// on stderr.
class MpiWatch {
 public:
  MpiWatch();
  ~MpiWatch();  // MPI has started, or has reported an error
  MpiWatch(const MpiWatch&) = delete;
  MpiWatch& operator=(const MpiWatch&) = delete;

 private:
  int to_child_ = -1;
  pid_t child_ = -1;
};

}  // namespace moemill::app
