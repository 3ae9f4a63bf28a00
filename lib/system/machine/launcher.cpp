#include "system/machine/launcher.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace moemill {
namespace {

using Count = LaunchClaim::Count;

std::optional<int> number_in(const Environment& environment, const char* name) {
  const char* text = environment(name);
  if (!text) return std::nullopt;
  int value = 0;
  const auto [rest, error] = std::from_chars(text, text + std::strlen(text), value);
  return error == std::errc() && *rest == '\0' && value >= 0 ? std::optional(value) : std::nullopt;
}

// The environment variables of a family of launchers. The first of `sizes` that is set holds the number of tasks;
// without one, the rank and the number of tasks on this node give a lower bound.
struct Family {
  std::string_view launcher;
  std::vector<const char*> marks;  // any of them identifies this launcher
  std::vector<const char*> sizes;
  std::vector<const char*> ranks;
  std::vector<const char*> local_sizes;
};

// Slurm's own numbers come last: under mpirun on several nodes they count its agents, and a batch script has
// SLURM_NTASKS, but neither SLURM_STEP_NUM_TASKS nor PMIX_RANK.
const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {"Open MPI's mpirun", {"OMPI_COMM_WORLD_SIZE"}, {"OMPI_COMM_WORLD_SIZE"}, {}, {}},
      {"MVAPICH's launcher", {"MV2_COMM_WORLD_SIZE"}, {"MV2_COMM_WORLD_SIZE"}, {}, {}},
      {"PALS (Cray's mpiexec or aprun)",
       {"PALS_RANKID"},
       {"PALS_SIZE", "PMI_SIZE"},
       {"PALS_RANKID"},
       {"PALS_LOCAL_SIZE"}},
      {"Flux", {"FLUX_TASK_RANK"}, {"FLUX_JOB_SIZE"}, {"FLUX_TASK_RANK"}, {}},
      {"an mpiexec or srun that speaks PMI (MPICH, Intel MPI, MVAPICH, Cray)",
       {"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"},
       {"PMI_SIZE"},
       {"PMI_RANK"},
       {"MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"}},
      {"srun", {"SLURM_STEP_NUM_TASKS"}, {"SLURM_STEP_NUM_TASKS"}, {}, {}},
  };
  return all;
}

std::optional<LaunchClaim> claim_of(const Family& family, const Environment& environment) {
  const auto is_there = [&](const char* name) { return environment(name) != nullptr; };
  if (std::none_of(family.marks.begin(), family.marks.end(), is_there)) return std::nullopt;
  for (const char* name : family.sizes)
    if (const auto tasks = number_in(environment, name)) return LaunchClaim{family.launcher, name, std::max(*tasks, 1)};
  LaunchClaim claim{family.launcher, family.marks.front(), 1, Count::AtLeast};
  for (const char* name : family.ranks)
    if (const auto rank = number_in(environment, name); rank && *rank + 1 > claim.tasks)
      claim.variable = name, claim.tasks = *rank + 1;
  for (const char* name : family.local_sizes)
    if (const auto tasks = number_in(environment, name); tasks && *tasks > claim.tasks)
      claim.variable = name, claim.tasks = *tasks;
  return claim;
}

bool is_open_mpi(std::string_view library) { return library.find("Open MPI") != std::string_view::npos; }

bool in_slurm_step(const Environment& environment) { return environment("SLURM_STEP_NUM_TASKS") != nullptr; }

std::string cure(const Environment& environment, std::string_view library) {
  const bool open_mpi = is_open_mpi(library);
  std::string text = fmt::format("this moemill is built with {}; start it with that library's {}", library,
                                 open_mpi ? "mpirun" : "mpiexec");
  if (in_slurm_step(environment))
    text += open_mpi ? ", or use srun --mpi=pmix (srun --mpi=list says what there is)"
                     : ", or use srun with the --mpi it speaks, such as pmi2 or cray_shasta (srun --mpi=list says what "
                       "there is)";
  return text + ", or build it with the MPI whose launcher you use (cmake -DMPI_CXX_COMPILER=...)";
}

std::string_view started(int tasks) { return tasks == 1 ? "task" : "tasks"; }

}  // namespace

std::vector<LaunchClaim> launch_claims(const Environment& environment) {
  std::vector<LaunchClaim> claims;
  for (const Family& family : families())
    if (const auto claim = claim_of(family, environment)) claims.push_back(*claim);
  // PMIx itself does not give the number: its launcher does, or else only MPI knows.
  if (environment("PMIX_RANK") && claims.empty())
    claims.push_back({"a launcher that speaks PMIx", "PMIX_RANK", number_in(environment, "PMIX_RANK").value_or(0) + 1,
                      Count::AtLeast});
  return claims;
}

LaunchDecision decide_launch(const Environment& environment, std::string_view mpi_library,
                             const std::function<bool()>& speaks_pmi) {
  const std::vector<LaunchClaim> claims = launch_claims(environment);
  const auto is_one = [](const LaunchClaim& claim) { return claim.tasks == 1 && claim.count == Count::Exact; };
  if (std::all_of(claims.begin(), claims.end(), is_one)) return {};
  const int step_tasks = number_in(environment, "SLURM_STEP_NUM_TASKS").value_or(1);
  const bool has_pmix = environment("PMIX_RANK") || environment("OMPI_COMM_WORLD_SIZE");
  if (step_tasks > 1 && !has_pmix && is_open_mpi(mpi_library) && !speaks_pmi())
    return {LaunchDecision::Use::Alone, fmt::format("srun started {} tasks without PMIx, which is all that this Open "
                                                    "MPI speaks, and each would think it is alone: {}",
                                                    step_tasks, cure(environment, mpi_library))};
  return {LaunchDecision::Use::Mpi, ""};
}

std::string world_fault(const Environment& environment, int world_size, std::string_view mpi_library) {
  const std::vector<LaunchClaim> claims = launch_claims(environment);
  const LaunchClaim* most = nullptr;
  for (const LaunchClaim& claim : claims) {
    // Among nested launchers one is MPI's own. A world larger than a claim was assembled by MPI from parts.
    if (claim.tasks == world_size) return "";
    if (!most || claim.tasks > most->tasks) most = &claim;
  }
  if (!most || most->tasks < world_size) return "";
  return fmt::format("{} started {}{} {} ({}), but MPI sees a world of {}: {}", most->launcher,
                     most->count == Count::AtLeast ? "at least " : "", most->tasks, started(most->tasks),
                     most->variable, world_size, cure(environment, mpi_library));
}

}  // namespace moemill
