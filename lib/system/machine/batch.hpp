// What batch systems say about the CPUs of a job, for those that give numbers and bind nobody to them: an affinity mask
// or a control group that is tighter counts all the same. Used to choose the number of threads, and for core-hours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "system/machine/cpus.hpp"
#include "system/machine/launcher.hpp"

namespace moemill {

struct BatchCpus {
  std::optional<std::uint64_t> on_node;  // of the job on this node, at most
  std::optional<std::uint64_t> all;      // of the job
};

// Grid Engine (NSLOTS, PE_HOSTFILE), LSF (LSB_MCPU_HOSTS, LSB_DJOB_NUMPROC), Torque (PBS_NODEFILE, PBS_NP,
// PBS_NUM_PPN), PBS Pro and OpenPBS (NCPUS a chunk, PBS_NODEFILE), Slurm (SLURM_JOB_CPUS_PER_NODE; `all` is in
// slurm_job). Nothing where the numbers of this host cannot be told.
BatchCpus batch_cpus(const Environment& environment, std::string_view host);

// The job's CPUs on this node as a limit that its processes share, as they share a control group's.
void limit_to(const BatchCpus& job, CpuView& view);

// What the kernel says, held to what the batch system says.
CpuView cpus_of_this_rank();

}  // namespace moemill
