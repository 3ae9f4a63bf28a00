// Who started this process, by what launchers leave in the environment, and whether the world that MPI sees is the one
// that the launcher started. Used by the app at the start. Plain functions of the environment: no MPI in here.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moemill {

// The value of a variable, nullptr without one: std::getenv, or a test's.
using Environment = std::function<const char*(const char* name)>;

// That a launcher started this process as one of several. A launcher inside another one leaves both their variables.
struct LaunchClaim {
  enum class Count { Exact, AtLeast };
  std::string_view launcher;  // for messages
  std::string_view variable;  // that tells the number
  int tasks = 1;
  Count count = Count::Exact;
};
std::vector<LaunchClaim> launch_claims(const Environment& environment);

// What to do about MPI. `refusal`: why this cannot become a job, "" when it can.
struct LaunchDecision {
  enum class Use { Alone, Mpi } use = Use::Alone;
  std::string refusal;
};
// Before MPI_Init. One task needs no MPI: a second program in the same step, or one behind a stop, works. Open MPI ends
// a process of a Slurm step that has no PMIx, so that is refused here; but one that is built with Slurm's own PMI
// (`speaks_pmi`, asked only then) may try, and world_fault sees what came of it.
LaunchDecision decide_launch(const Environment& environment, std::string_view mpi_library,
                             const std::function<bool()>& speaks_pmi);
// After MPI_Init: "" when MPI sees as many ranks as were started; else what is wrong and the cure.
std::string world_fault(const Environment& environment, int world_size, std::string_view mpi_library);

}  // namespace moemill
