// Reports the likely reason when MPI_Init ends the process instead of returning an error, as it does in all MPI
// libraries. Used by Launch.
#pragma once

#include <sys/types.h>

namespace moemill::app {

// A child process that lives while MPI_Init runs. If this process ends before MPI_Init has returned, the child prints
// the usual reasons on stderr.
class MpiWatch {
 public:
  MpiWatch();
  ~MpiWatch();  // ends the child: MPI_Init has returned
  MpiWatch(const MpiWatch&) = delete;
  MpiWatch& operator=(const MpiWatch&) = delete;

 private:
  int to_child_ = -1;
  pid_t child_ = -1;
};

}  // namespace moemill::app
