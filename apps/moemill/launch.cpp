#include "launch.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/error.hpp"
#include "mill/agree.hpp"

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

namespace {

const char* kind_of(ExitCode code) {
  if (code == ExitCode::Usage) return "error";
  return code == ExitCode::Stopped ? "stopped" : "failed";
}

}  // namespace

int on_all_ranks(const Comm& world, const std::function<int()>& body) {
  try {
    return body();
  } catch (const mill::AgreedFailure& e) {
    if (world.rank() == 0) fmt::print(stderr, "moemill: {}: {}\n", kind_of(e.code()), e.what());
    return static_cast<int>(e.code());
  } catch (...) {
    const mill::Failure failure = mill::describe_current_exception();
    fmt::print(stderr, "moemill: {}\n", mill::told_by(world, failure));
    world.abort(static_cast<int>(failure.code));
  }
}

}  // namespace moemill::app
