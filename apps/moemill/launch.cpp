#include "launch.hpp"

#include <cstdlib>
#include <string>

#include "base/error.hpp"

namespace moemill::app {

Launch::Launch() {
  const bool mpi = std::getenv("OMPI_COMM_WORLD_SIZE") || std::getenv("PMIX_RANK");
  if (mpi) {
    int argc = 0;
    char** argv = nullptr;
    session_.emplace(argc, argv);
    return;
  }
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");  // set inside an srun step, not in a batch script
  if (tasks && std::string(tasks) != "1")
    user_error("srun started {} tasks without MPI; use srun --mpi=pmix, or mpirun", tasks);
}

}  // namespace moemill::app
