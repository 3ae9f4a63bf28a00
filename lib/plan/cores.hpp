// Threads and cores of a job: how many threads a rank starts, what of the machine that takes, and what about it people
// should know. Used by arrange_ranks at the start, validate, and the ledger. Outputs do not hang on any of it.
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

// What all ranks use together, the same on all of them.
struct CoreUse {
  std::uint32_t ranks = 1;
  std::uint32_t fewest_threads = 1;   // a rank
  std::uint32_t most_threads = 1;     // a rank
  std::uint64_t threads = 1;          // all ranks
  std::uint64_t bound = 1;            // cores that ranks may run on, all nodes
  std::uint64_t machine = 1;          // the same without the binding by a launcher
  std::uint32_t cramped_ranks = 0;    // ranks with more threads than cores that they may run on
  std::uint32_t cramped_cores = 0;    // cores of the first of them
  std::uint64_t crowded_threads = 0;  // threads of nodes with more threads than cores
  std::uint64_t crowded_cores = 0;    // cores of these nodes

  std::uint64_t busy() const { return threads < bound ? threads : bound; }
};

// This rank's number of threads by parallel.threads_per_rank; `beside`: the ranks of its machine.
struct RankCores {
  int threads = 1;
  CoreUse use;
};
// Collective over both. `shared`: the ranks that share this one's machine.
RankCores arrange_cores(const Comm& world, const Comm& shared, const ParallelSettings& settings);

// One node's part of it, from what its ranks see and the threads that each starts.
CoreUse core_use_of_node(std::span<const CpuView> beside, std::span<const std::uint32_t> threads);
void add(CoreUse& sum, const CoreUse& node);

// What the batch system gave the job, where it says so; else what the ranks hold.
std::uint64_t allocated_cores(const CoreUse& use, const SlurmJob& job);
// "4 ranks × 16 threads on 64 of 64 cores"
std::string cores_line(const CoreUse& use, const SlurmJob& job);
// At most one each: mpirun forgotten, threads bound to too few cores, cores shared, cores idle.
std::vector<std::string> core_warnings(const CoreUse& use, const SlurmJob& job);

// For validate: a rank's threads on machines like this one, with that many ranks on each.
std::uint32_t threads_here(const ParallelSettings& settings, std::uint32_t ranks_on_machine);

}  // namespace moemill::mill
