// The memory of a machine with several NUMA domains: which domains there are, and which of them gets which part of
// memory that all cores read. Used by system/files/node_memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moemill {

// The domains with memory that this process may use, ascending; empty where the kernel does not tell. For `root` see
// control_groups.
std::vector<std::uint32_t> numa_domains(const std::string& root = "");

// The domain of one of the blocks of memory that all cores read: they go round, so that a matrix is read from all
// memory controllers at once. `domains` must not be empty.
std::uint32_t domain_of_block(std::uint64_t block, std::span<const std::uint32_t> domains);

// While it lives, memory that the calling thread touches first comes from `domain` if there is room, and from any other
// one if not. A policy that the user has set (numactl) is left alone, and so is a kernel that refuses the call.
class PreferDomain {
 public:
  explicit PreferDomain(std::uint32_t domain);
  ~PreferDomain();
  PreferDomain(const PreferDomain&) = delete;
  PreferDomain& operator=(const PreferDomain&) = delete;

 private:
  int before_ = -1;  // the thread's policy; -1: unknown
};

}  // namespace moemill
