#include "system/machine/launcher.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "made_up_environment.hpp"

using namespace moemill;
using Use = LaunchDecision::Use;

namespace {

const std::string open_mpi = "Open MPI v4.1.4", mpich = "MPICH 4.0.2";

// The environment of rank 1 of 4 under each launcher.
const Variables mpirun = {{"OMPI_COMM_WORLD_SIZE", "4"},
                          {"OMPI_COMM_WORLD_RANK", "1"},
                          {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                          {"OMPI_UNIVERSE_SIZE", "64"},
                          {"PMIX_RANK", "1"},
                          {"PMIX_NAMESPACE", "847446017"}};
const Variables hydra = {
    {"PMI_RANK", "1"}, {"PMI_SIZE", "4"}, {"PMI_FD", "6"}, {"MPI_LOCALNRANKS", "4"}, {"MPI_LOCALRANKID", "1"}};
const Variables intel = {{"PMI_RANK", "1"}, {"PMI_SIZE", "4"}, {"MPI_LOCALNRANKS", "2"}, {"I_MPI_MPIRUN", "mpirun"}};
const Variables mvapich = {{"MV2_COMM_WORLD_SIZE", "4"}, {"MV2_COMM_WORLD_RANK", "1"}, {"MPIRUN_NPROCS", "4"}};
const Variables pals = {
    {"PALS_RANKID", "1"}, {"PALS_APID", "x"}, {"PMI_SIZE", "4"}, {"PMI_RANK", "1"}, {"PALS_LOCAL_SIZE", "2"}};
const Variables flux = {{"FLUX_TASK_RANK", "1"}, {"FLUX_JOB_SIZE", "4"}, {"PMI_RANK", "1"}, {"PMI_SIZE", "4"}};
const Variables step = {{"SLURM_JOB_ID", "7"},
                        {"SLURM_STEP_ID", "0"},
                        {"SLURM_STEP_NUM_TASKS", "4"},
                        {"SLURM_NTASKS", "4"},
                        {"SLURM_PROCID", "1"}};

Variables with(Variables all, const Variables& more) {
  for (const auto& [name, value] : more) all[name] = value;
  return all;
}

const Variables step_pmix = with(step, {{"PMIX_RANK", "1"}, {"PMIX_NAMESPACE", "slurm.pmix.7.0"}});
const Variables step_pmi2 = with(step, {{"PMI_RANK", "1"}, {"PMI_SIZE", "4"}, {"PMI_FD", "12"}});

LaunchDecision decide(const Variables& variables, const std::string& library) {
  return decide_launch(environment_of(variables), library, [] { return false; });
}
std::string fault(const Variables& variables, int world, const std::string& library) {
  return world_fault(environment_of(variables), world, library);
}

}  // namespace

TEST_CASE("launcher: every launcher of four tasks is seen, and a world of one is none of theirs") {
  for (const Variables& started : {mpirun, hydra, intel, mvapich, pals, flux, step_pmix}) {
    CAPTURE(started);
    for (const std::string& library : {open_mpi, mpich}) {
      CHECK(decide(started, library).use == Use::Mpi);
      CHECK(fault(started, 4, library) == "");
      const std::string told = fault(started, 1, library);
      CHECK(told.find("started 4 tasks") != std::string::npos);
      CHECK(told.find("world of 1") != std::string::npos);
      CHECK(told.find(library) != std::string::npos);
    }
  }
}

TEST_CASE("launcher: who is alone, or one of one, needs no MPI") {
  const Variables nobody;
  const Variables batch_script = {
      {"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "64"}, {"SLURM_PROCID", "0"}, {"SLURM_TASKS_PER_NODE", "64"}};
  const Variables one = {{"OMPI_COMM_WORLD_SIZE", "1"}, {"PMIX_RANK", "0"}};
  const Variables one_step = {{"SLURM_STEP_NUM_TASKS", "1"}, {"PMIX_RANK", "0"}, {"SLURM_NTASKS", "64"}};
  const Variables one_of_hydra = {{"PMI_SIZE", "1"}, {"PMI_RANK", "0"}, {"MPI_LOCALNRANKS", "1"}};
  const Variables pbs = {{"PBS_JOBID", "1"}, {"PBS_NP", "64"}};
  for (const Variables& started : {nobody, batch_script, one, one_step, one_of_hydra, pbs}) {
    CAPTURE(started);
    for (const std::string& library : {open_mpi, mpich}) {
      CHECK(decide(started, library).use == Use::Alone);
      CHECK(decide(started, library).refusal == "");
    }
  }
}

TEST_CASE("launcher: srun without PMIx is refused before Open MPI ends the process, others may know another way") {
  for (const Variables& started : {step, step_pmi2}) {
    const std::string told = decide(started, open_mpi).refusal;
    CHECK(told.find("use srun --mpi=pmix") != std::string::npos);
    CHECK(decide(started, mpich).refusal == "");
    CHECK(decide(started, mpich).use == Use::Mpi);
    CHECK(fault(started, 4, mpich) == "");
    CHECK(fault(started, 1, mpich).find("pmi2") != std::string::npos);
  }
}

TEST_CASE("launcher: an Open MPI with Slurm's own PMI may try, and the count decides") {
  const auto speaks = [] { return true; };
  for (const Variables& started : {step, step_pmi2}) {
    const LaunchDecision decision = decide_launch(environment_of(started), open_mpi, speaks);
    CHECK(decision.use == Use::Mpi);
    CHECK(decision.refusal == "");
    CHECK(fault(started, 4, open_mpi) == "");
    CHECK(fault(started, 1, open_mpi).find("started 4 tasks") != std::string::npos);
    CHECK(fault(started, 1, open_mpi).find("--mpi=pmix") != std::string::npos);
  }
  const auto never = []() -> bool { throw std::runtime_error("asked"); };  // must not be called, because it is slow
  for (const Variables& started : {mpirun, step_pmix, hydra})
    CHECK_NOTHROW(decide_launch(environment_of(started), open_mpi, never));
  CHECK_NOTHROW(decide_launch(environment_of(step_pmi2), mpich, never));
}

TEST_CASE("launcher: of nested launchers the inner one counts") {
  // Under mpirun on three nodes, its agents are a Slurm step of their own.
  const Variables below_agents = with(mpirun, {{"SLURM_STEP_NUM_TASKS", "3"}, {"SLURM_STEP_ID", "0"}});
  CHECK(decide(below_agents, open_mpi).use == Use::Mpi);
  CHECK(decide(below_agents, open_mpi).refusal == "");
  CHECK(fault(below_agents, 4, open_mpi) == "");
  const Variables proxies = with(hydra, {{"SLURM_STEP_NUM_TASKS", "2"}});
  CHECK(fault(proxies, 4, mpich) == "");
  // A shell in a step of one task, then mpiexec in a different step.
  const Variables interactive = with(hydra, {{"SLURM_STEP_NUM_TASKS", "1"}, {"PMIX_RANK", "0"}});
  CHECK(decide(interactive, mpich).use == Use::Mpi);
  CHECK(fault(interactive, 4, mpich) == "");
  CHECK(fault(interactive, 1, mpich) == "");  // looks like the step's one task, and a false refusal would be worse
  const Variables mpirun_in_hydra = with(mpirun, {{"PMI_SIZE", "1"}, {"PMI_RANK", "0"}});
  CHECK(fault(mpirun_in_hydra, 4, open_mpi) == "");
  // Each part of a heterogeneous job counts only its own tasks; the world has all of them.
  CHECK(fault(step_pmix, 12, open_mpi) == "");
}

TEST_CASE("launcher: without a number of tasks, rank and neighbours give a lower bound") {
  const Variables prun = {{"PMIX_RANK", "3"}, {"PMIX_NAMESPACE", "p.1"}};
  CHECK(decide(prun, open_mpi).use == Use::Mpi);
  CHECK(fault(prun, 8, open_mpi) == "");
  CHECK(fault(prun, 1, open_mpi).find("at least 4 tasks") != std::string::npos);
  const Variables neighbours = {{"MPI_LOCALNRANKS", "2"}, {"MPI_LOCALRANKID", "0"}};
  CHECK(fault(neighbours, 1, mpich).find("at least 2 tasks (MPI_LOCALNRANKS)") != std::string::npos);
  CHECK(fault(neighbours, 2, mpich) == "");
  const Variables odd = {{"PMI_SIZE", "many"}, {"PMI_RANK", "-1"}};
  CHECK(decide(odd, mpich).use == Use::Mpi);
  CHECK(fault(odd, 1, mpich) == "");
}
