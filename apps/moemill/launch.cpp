#include "launch.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/error.hpp"
#include "base/log.hpp"
#include "mpi_watch.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/launcher.hpp"

namespace moemill::app {

Launch::Launch() {
  const Environment environment = [](const char* name) { return std::getenv(name); };
  const std::string library = MpiSession::library_version();
  const LaunchDecision decision = decide_launch(environment, library, MpiSession::speaks_pmi);
  if (!decision.refusal.empty()) throw UserError(decision.refusal);
  if (decision.use == LaunchDecision::Use::Alone) return;
  int argc = 0;
  char** argv = nullptr;
  {
    const MpiWatch watch;
    session_.emplace(argc, argv);
  }
  const std::string fault = world_fault(environment, Comm::world().size(), library);
  if (fault.empty()) return;
  session_.reset();  // launchers print long messages about a process that leaves without MPI_Finalize
  throw UserError(fault);
}

int on_all_ranks(const Comm& world, const std::function<int()>& body) {
  try {
    return body();
  } catch (...) {
    const Failure failure = describe_current_exception();
    if (failure.agreed) {
      if (world.rank() == 0) log::raw(fmt::format("moemill: {}: {}\n", failure.kind, failure.text));
      return static_cast<int>(failure.code);
    }
    log::raw(fmt::format("moemill: {}\n", attribution(world, failure)));
    world.abort(static_cast<int>(failure.code));
  }
}

}  // namespace moemill::app
