// The memory left under control groups, Slurm and ulimits, on invented machines in a folder.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "support/temp_dir.hpp"
#include "system/machine/memory.hpp"

using namespace moemill;

namespace {

struct Machine {
  test::TempDir folder;
  std::string root = folder.str();

  Machine() { put("/proc/meminfo", "MemTotal: 99999 kB\nMemAvailable: 9000 kB\n"); }
  void put(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  MemoryLeft left(int ranks = 1, MemorySources sources = {}) const {
    sources.root = root;
    return memory_left(ranks, sources);
  }
};

constexpr const char* v1_mounts =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
constexpr const char* v2_mount = "30 23 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

}  // namespace

TEST_CASE("memory: without any limit it is what the machine has free") {
  const Machine machine;
  CHECK(machine.left().bytes == 9000 * 1024);
  CHECK(machine.left().limit == "");
  CHECK_FALSE(cgroup_memory_left(machine.root));
}

TEST_CASE("memory: version 2, the tightest group on the way to the root counts, cached files do not") {
  const Machine machine;
  machine.put("/proc/self/mountinfo", v2_mount);
  machine.put("/proc/self/cgroup", "1:cpu:/elsewhere\n0::/slurm/job_7\n");
  const std::string step = "/sys/fs/cgroup/slurm/job_7";
  machine.put(step + "/memory.max", "max\n");
  CHECK_FALSE(cgroup_memory_left(machine.root));
  machine.put(step + "/memory.max", "1000\n");
  machine.put(step + "/memory.current", "900\n");
  CHECK(machine.left().bytes == 100);
  CHECK(machine.left().limit.ends_with("/sys/fs/cgroup/slurm/job_7"));
  machine.put(step + "/memory.stat", "anon 200\ninactive_file 300\nactive_file 400\n");
  CHECK(machine.left().bytes == 800);
  machine.put("/sys/fs/cgroup/slurm/memory.max", "2000\n");
  machine.put("/sys/fs/cgroup/slurm/memory.current", "1500\n");
  CHECK(machine.left().bytes == 500);
  machine.put("/sys/fs/cgroup/slurm/memory.max", "max\n");
  CHECK(machine.left().bytes == 800);
  machine.put("/sys/fs/cgroup/slurm/memory.high", "1600\n");
  CHECK(machine.left().bytes == 100);
  machine.put(step + "/memory.current", "1900\n");
  CHECK(machine.left().bytes == 0);
}

TEST_CASE("memory: version 1 as Slurm nests it") {
  const Machine machine;
  machine.put("/proc/self/mountinfo", v1_mounts);
  machine.put("/proc/self/cgroup", "9:cpuset:/slurm/uid_1/job_7\n4:memory:/slurm/uid_1/job_7/step_0/task_0\n0::/\n");
  const std::string top = "/sys/fs/cgroup/memory";
  machine.put(top + "/memory.limit_in_bytes", "9223372036854771712\n");
  machine.put(top + "/memory.usage_in_bytes", "123456\n");
  CHECK_FALSE(cgroup_memory_left(machine.root));
  machine.put(top + "/slurm/uid_1/job_7/memory.limit_in_bytes", "4000\n");
  machine.put(top + "/slurm/uid_1/job_7/memory.usage_in_bytes", "3000\n");
  CHECK(machine.left().bytes == 1000);
  machine.put(top + "/slurm/uid_1/job_7/memory.stat",
              "inactive_file 1\ntotal_inactive_file 500\ntotal_active_file 0\n");
  CHECK(machine.left().bytes == 1500);
  machine.put(top + "/slurm/uid_1/job_7/step_0/memory.limit_in_bytes", "700\n");
  machine.put(top + "/slurm/uid_1/job_7/step_0/memory.usage_in_bytes", "0\n");
  CHECK(machine.left().bytes == 700);
}

TEST_CASE("memory: a container that sees only its part of the groups") {
  const Machine machine;
  machine.put("/proc/self/mountinfo", "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  machine.put("/proc/self/cgroup", "4:memory:/docker/abc/inner\n");
  machine.put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n");
  machine.put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n");
  CHECK(machine.left().bytes == 4000);
  machine.put("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "2000\n");
  machine.put("/sys/fs/cgroup/memory/inner/memory.usage_in_bytes", "1000\n");
  CHECK(machine.left().bytes == 1000);
  machine.put("/proc/self/cgroup", "4:memory:/../../elsewhere\n");
  CHECK(machine.left().bytes == 4000);
}

TEST_CASE("memory: Slurm's --mem is a node's, less what its ranks hold; a ulimit is a process's") {
  const Machine machine;
  const auto slurm = [](std::map<std::string, std::string> variables) {
    variables["SLURM_JOB_ID"] = "7";
    MemorySources sources;
    sources.slurm = slurm_job([&](const char* name) {
      const auto it = variables.find(name);
      return it == variables.end() ? nullptr : it->second.c_str();
    });
    sources.held_bytes = std::uint64_t{1} << 20;
    return sources;
  };
  CHECK(machine.left(2, slurm({{"SLURM_MEM_PER_NODE", "5"}})).bytes == 3 << 20);
  CHECK(machine.left(2, slurm({{"SLURM_MEM_PER_NODE", "5"}})).limit == "Slurm's --mem");
  CHECK(machine.left(1, slurm({{"SLURM_MEM_PER_CPU", "2"}, {"SLURM_CPUS_ON_NODE", "3"}})).bytes == 5 << 20);
  CHECK(machine.left(9, slurm({{"SLURM_MEM_PER_NODE", "5"}})).bytes == 0);
  CHECK(machine.left(1, slurm({{"SLURM_MEM_PER_NODE", "0"}})).limit == "");  // all memory of the node
  MemorySources limited;
  limited.process_bytes = 1000;
  CHECK(machine.left(4, limited).bytes == 4000);
  CHECK(machine.left(4, limited).limit.starts_with("ulimit"));
}
