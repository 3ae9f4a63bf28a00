// Which launcher started this process, as its environment variables show, and whether MPI sees the ranks that the
// launcher started. Used by the app at the start. Plain functions of the environment, without MPI.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moemill {

// Returns a variable's value, or nullptr: std::getenv, or a test's own.
using Environment = std::function<const char*(const char* name)>;

// A launcher's statement that it started this process as one of several. With nested launchers both leave variables.
struct LaunchClaim {
  enum class Count { Exact, AtLeast };
  std::string_view launcher;  // for messages
  std::string_view variable;  // holds the number
  int tasks = 1;
  Count count = Count::Exact;
};
std::vector<LaunchClaim> launch_claims(const Environment& environment);

// Whether to start MPI. `refusal` is the reason why this cannot become a job, or "".
struct LaunchDecision {
  enum class Use { Alone, Mpi } use = Use::Alone;
  std::string refusal;
};
// Decides before MPI_Init. One task needs no MPI, so that a second program in the same step works, also after a stop.
// Open MPI ends a process of a Slurm step that has no PMIx, so this is refused here. An Open MPI that is built with
// Slurm's own PMI (`speaks_pmi`, called only in that case) may try, and world_fault checks the result.
LaunchDecision decide_launch(const Environment& environment, std::string_view mpi_library,
                             const std::function<bool()>& speaks_pmi);
// Checks after MPI_Init: "" if MPI sees as many ranks as were started, else the fault and its cure.
std::string world_fault(const Environment& environment, int world_size, std::string_view mpi_library);

}  // namespace moemill
