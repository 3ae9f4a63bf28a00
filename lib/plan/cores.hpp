// Threads and cores of a job: how many threads a rank starts, how many cores they use, and warnings about both. Used by
// arrange_ranks at the start, by validate and by the ledger. The outputs do not depend on it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "system/comm/comm.hpp"
#include "system/machine/cpus.hpp"
#include "system/machine/slurm.hpp"

namespace moemill::mill {

// The threads and cores of all ranks together; equal on all ranks.
struct CoreUse {
  std::uint32_t ranks = 1;
  std::uint32_t fewest_threads = 1;   // per rank
  std::uint32_t most_threads = 1;     // per rank
  std::uint64_t threads = 1;          // of all ranks
  std::uint64_t bound = 1;            // cores that ranks may run on, on all nodes
  std::uint64_t machine = 1;          // the same, ignoring a launcher's binding
  std::uint32_t cramped_ranks = 0;    // ranks with more threads than cores that they may run on
  std::uint32_t cramped_cores = 0;    // cores of the first such rank
  std::uint64_t crowded_threads = 0;  // threads of nodes with more threads than cores
  std::uint64_t crowded_cores = 0;    // cores of these nodes

  std::uint64_t busy() const { return threads < bound ? threads : bound; }
};

// This rank's number of threads, by parallel.threads_per_rank.
struct RankCores {
  int threads = 1;
  CoreUse use;
};
// Collective over both. `shared` holds the ranks on this rank's machine.
RankCores arrange_cores(const Comm& world, const Comm& shared, const ParallelSettings& settings);

// The core use of one node, from the CPUs that its ranks see and the threads that each rank starts.
CoreUse core_use_of_node(std::span<const CpuView> beside, std::span<const std::uint32_t> threads);
void add(CoreUse& sum, const CoreUse& node);

// The cores that the batch system gave the job, if it reports them; else the cores of the ranks.
std::uint64_t allocated_cores(const CoreUse& use, const SlurmJob& job);
// "4 ranks × 16 threads on 64 of 64 cores"
std::string cores_line(const CoreUse& use, const SlurmJob& job);
// At most one warning of each kind: no mpirun, threads bound to too few cores, shared cores, idle cores.
std::vector<std::string> core_warnings(const CoreUse& use, const SlurmJob& job);

// For validate: the threads of a rank on machines like this one that run `ranks_on_machine` ranks.
std::uint32_t threads_here(const ParallelSettings& settings, std::uint32_t ranks_on_machine);

}  // namespace moemill::mill
