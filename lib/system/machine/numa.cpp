#include "system/machine/numa.hpp"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "system/machine/cpus.hpp"

namespace moemill {
namespace {

constexpr std::size_t most_domains = 1024;  // as the largest kernels are built
constexpr std::size_t word_bits = 8 * sizeof(unsigned long);
using Mask = std::array<unsigned long, most_domains / word_bits>;

// The list of domains in a file of /sys, or in a line of a file of /proc.
std::vector<std::uint32_t> list_in(const std::string& path, const std::string& name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    const std::size_t begin = line.find_first_of("0123456789", name.size());
    return begin == std::string::npos ? std::vector<std::uint32_t>() : parse_cpu_list(line.substr(begin));
  }
  return {};
}

}  // namespace

std::vector<std::uint32_t> numa_domains(const std::string& root) {
  const auto with_memory = list_in(root + "/sys/devices/system/node/has_memory", "");
  const auto allowed = list_in(root + "/proc/self/status", "Mems_allowed_list:");
  std::vector<std::uint32_t> both;
  std::set_intersection(with_memory.begin(), with_memory.end(), allowed.begin(), allowed.end(),
                        std::back_inserter(both));
  std::erase_if(both, [](std::uint32_t domain) { return domain >= most_domains; });
  return both;
}

std::uint32_t domain_of_block(std::uint64_t block, std::span<const std::uint32_t> domains) {
  return domains[block % domains.size()];
}

// By the thread's policy and not by mbind: that would split the mapping into one area a block, of which a process may
// have 65,530.
PreferDomain::PreferDomain(std::uint32_t domain) {
  if (::syscall(SYS_get_mempolicy, &before_, nullptr, 0, nullptr, 0) != 0 || before_ != MPOL_DEFAULT) return;
  Mask mask{};
  mask[domain / word_bits] = 1ul << domain % word_bits;
  ::syscall(SYS_set_mempolicy, MPOL_PREFERRED, mask.data(), most_domains);
}

PreferDomain::~PreferDomain() {
  if (before_ == MPOL_DEFAULT) ::syscall(SYS_set_mempolicy, MPOL_DEFAULT, nullptr, 0);
}

}  // namespace moemill
