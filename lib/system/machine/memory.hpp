// Free memory and its limits on this machine. Used to size the KV cache, by validate and by the summary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "system/machine/slurm.hpp"

namespace moemill {

// The memory that all ranks of a machine may still take together, and the limit that decides.
struct MemoryLeft {
  std::uint64_t bytes = 0;
  std::string limit;  // "the control group /...", "ulimit -v", "Slurm's --mem"; "" for the machine's free memory
};

// Where the limits come from; tests replace it.
struct MemorySources {
  std::string root;                                 // prepended to every system path
  SlurmJob slurm = {};                              // its memory limit holds per node
  std::optional<std::uint64_t> process_bytes = {};  // what ulimits leave to this process
  std::uint64_t held_bytes = 0;                     // private memory that this process holds already
  std::uint64_t shared_bytes = 0;                   // memory that the ranks hold already, one copy for all of them
  std::uint64_t shared_bytes_to_come = 0;           // memory of which all ranks are going to map one copy
};
MemorySources memory_sources();
// The least of MemAvailable, what each control group up to the root leaves, the Slurm job's memory minus what its ranks
// hold, and a process's ulimits (-v, -d) times the ranks, in which a shared mapping counts for every process.
MemoryLeft memory_left(int ranks_on_machine, const MemorySources& sources = memory_sources());
// What the control groups leave, or nothing without a limit. Cached files count as free, because the kernel can evict
// them.
std::optional<MemoryLeft> cgroup_memory_left(const std::string& root);
// The largest resident set of this process so far (VmHWM).
std::uint64_t peak_rss_bytes();

// What this process has of the mapping that contains an address.
struct MappingUse {
  std::uint64_t resident_bytes = 0;
  std::uint64_t huge_bytes = 0;  // of them on huge pages
};
MappingUse mapping_use(const void* address);

}  // namespace moemill
