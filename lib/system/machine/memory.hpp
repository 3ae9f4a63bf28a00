// What the machine says about memory. Used to size the KV cache, by validate and the summary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "system/machine/slurm.hpp"

namespace moemill {

// What is left for all ranks of a machine together, and which limit says so.
struct MemoryLeft {
  std::uint64_t bytes = 0;
  std::string limit;  // "the control group /...", "ulimit -v", "Slurm's --mem"; "" for what is free on the machine
};

// Where the limits are read; a test has its own.
struct MemorySources {
  std::string root;                                 // before every path of the system
  SlurmJob slurm = {};                              // its limit holds for a node
  std::optional<std::uint64_t> process_bytes = {};  // that ulimits leave to this process
  std::uint64_t held_bytes = 0;                     // by this process, of its own
};
MemorySources memory_sources();
// The least of: MemAvailable, what each control group on the way up leaves, Slurm's memory of the job less what its
// ranks hold, and the ulimits of a process (-v, -d) times the ranks.
MemoryLeft memory_left(int ranks_on_machine, const MemorySources& sources = memory_sources());
// The part of it that control groups say, nothing without a limit. Cached files count as free: the kernel gives them
// up.
std::optional<MemoryLeft> cgroup_memory_left(const std::string& root);
// Highest resident set of this process so far (VmHWM).
std::uint64_t peak_rss_bytes();

}  // namespace moemill
