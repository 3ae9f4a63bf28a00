// The job as Slurm describes it in the environment; for different batch systems only the number of cores. Used for
// warnings about idle cores, for core-hours and for memory limits.
#pragma once

#include <cstdint>
#include <optional>

#include "system/machine/launcher.hpp"

namespace moemill {

struct SlurmJob {
  std::optional<std::uint64_t> tasks;          // as requested for the job
  std::optional<std::uint64_t> cpus_per_task;  // as requested
  std::optional<std::uint64_t> cpus;           // of the job on all nodes
  std::optional<std::uint64_t> cpus_on_node;   // of the job on this node
  std::optional<std::uint64_t> nodes;
  std::optional<std::uint64_t> memory_on_node_bytes;  // the job's limit on this node
  std::optional<std::uint64_t> step_tasks;            // inside an srun step, except the shell that salloc starts
  bool of_another_system = false;                     // PBS, LSF or Grid Engine, which report only `cpus`
};
// All members are empty outside of a job. batch.hpp has the job's share of this node.
SlurmJob slurm_job(const Environment& environment);

}  // namespace moemill
