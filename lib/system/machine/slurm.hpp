// What Slurm says about the job in the environment, and of other batch systems the number of cores. Used for warnings
// about idle cores, core-hours and memory limits.
#pragma once

#include <cstdint>
#include <optional>

#include "system/machine/launcher.hpp"

namespace moemill {

struct SlurmJob {
  std::optional<std::uint64_t> tasks;          // that the job was asked for
  std::optional<std::uint64_t> cpus_per_task;  // asked for
  std::optional<std::uint64_t> cpus;           // of the job, all nodes
  std::optional<std::uint64_t> cpus_on_node;   // of the job, on this node
  std::optional<std::uint64_t> nodes;
  std::optional<std::uint64_t> memory_on_node_bytes;  // that the job may use on this node
  std::optional<std::uint64_t> step_tasks;            // inside an srun step; not of a shell that salloc starts
  bool of_another_system = false;                     // PBS, LSF or Grid Engine: of theirs only `cpus` is known
};
// Nothing in it outside of a job. batch.hpp tells what a node has of it.
SlurmJob slurm_job(const Environment& environment);

}  // namespace moemill
