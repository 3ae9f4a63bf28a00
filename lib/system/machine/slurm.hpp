// The job as Slurm describes it in environment variables; under other batch systems only the number of CPUs. Used
// for warnings about idle cores, for core-hours and for memory limits.
#pragma once

#include <cstdint>
#include <optional>

#include "system/machine/launcher.hpp"

namespace moemill {

struct SlurmJob {
  std::optional<std::uint64_t> tasks;          // requested for the job
  std::optional<std::uint64_t> cpus_per_task;  // requested for the job
  std::optional<std::uint64_t> cpus;           // that the job has on all nodes
  std::optional<std::uint64_t> cpus_on_node;   // that the job has on this node
  std::optional<std::uint64_t> nodes;
  std::optional<std::uint64_t> memory_on_node_bytes;  // the job's limit on this node
  std::optional<std::uint64_t> step_tasks;            // tasks of this srun step; none in the shell that salloc starts
  bool of_another_system = false;                     // PBS, LSF or Grid Engine, for which only `cpus` can be known
};
// Outside a job all numbers are empty. batch_cpus() (batch.hpp) gives the CPUs that the batch system grants on this
// node.
SlurmJob slurm_job(const Environment& environment);

}  // namespace moemill
