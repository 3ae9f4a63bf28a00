// NUMA domains as the kernel lists them, and how blocks go round over them.
#include "system/machine/numa.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <vector>

#include "support/temp_dir.hpp"

using namespace moemill;

TEST_CASE("numa: the domains with memory that the process may use") {
  const test::TempDir root;
  CHECK(numa_domains(root.str()).empty());
  const auto write = [&](const char* path, const char* text) {
    std::filesystem::create_directories((root.path / path).parent_path());
    std::ofstream(root.path / path) << text;
  };
  write("sys/devices/system/node/has_memory", "0-2,5\n");
  write("proc/self/status", "Name:\tx\nMems_allowed:\tff\nMems_allowed_list:\t1-7\n");
  CHECK(numa_domains(root.str()) == std::vector<std::uint32_t>{1, 2, 5});
  write("sys/devices/system/node/has_memory", "0\n");
  write("proc/self/status", "Mems_allowed_list:\t0\n");
  CHECK(numa_domains(root.str()) == std::vector<std::uint32_t>{0});
}

TEST_CASE("numa: blocks are spread evenly, neighbours over different domains") {
  const std::vector<std::uint32_t> domains{0, 2, 3};
  std::map<std::uint32_t, int> blocks;
  for (std::uint64_t b = 0; b < 300; ++b) {
    ++blocks[domain_of_block(b, domains)];
    CHECK(domain_of_block(b, domains) != domain_of_block(b + 1, domains));
  }
  CHECK(blocks == std::map<std::uint32_t, int>{{0, 100}, {2, 100}, {3, 100}});
}

TEST_CASE("numa: a preference leaves the thread as it was") {
  { const PreferDomain here(0); }
  { const PreferDomain nowhere(1023); }
  CHECK(std::vector<char>(1 << 20, 'x').back() == 'x');
}
