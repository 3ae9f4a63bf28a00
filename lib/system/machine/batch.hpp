// The number of CPUs that a batch system grants a job, for systems that report it without binding processes. A tighter
// affinity mask or control group still applies. Used to choose the number of threads and to account core-hours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "system/machine/cpus.hpp"
#include "system/machine/launcher.hpp"

namespace moemill {

struct BatchCpus {
  std::optional<std::uint64_t> on_node;  // upper bound for the job's CPUs on this node
  std::optional<std::uint64_t> all;      // all the job's CPUs
};

// Grid Engine (NSLOTS, PE_HOSTFILE), LSF (LSB_MCPU_HOSTS, LSB_DJOB_NUMPROC), Torque (PBS_NODEFILE, PBS_NP,
// PBS_NUM_PPN), PBS Pro and OpenPBS (NCPUS per chunk, PBS_NODEFILE), Slurm (SLURM_JOB_CPUS_PER_NODE; `all` is in
// slurm_job). Both members are absent if the numbers for this host are unknown.
BatchCpus batch_cpus(const Environment& environment, std::string_view host);

// Applies the job's CPUs on this node as a limit that its processes share, like the limit of a control group.
void limit_to(const BatchCpus& job, CpuView& view);

// The CPUs that both the kernel and the batch system allow.
CpuView cpus_of_this_rank();

}  // namespace moemill
