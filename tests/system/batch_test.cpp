// The CPUs that batch systems report in variables and host files.
#include "system/machine/batch.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "made_up_environment.hpp"

using namespace moemill;

namespace {

// A temporary file of hosts.
struct HostFile {
  std::string path = "/tmp/moemill-hosts-" + std::to_string(::getpid());
  explicit HostFile(const std::string& text) { std::ofstream(path) << text; }
  ~HostFile() { std::remove(path.c_str()); }
};

std::string described(const Variables& variables) {
  const BatchCpus job = batch_cpus(environment_of(variables), "n1.cluster");
  const auto shown = [](const auto& count) { return count ? std::to_string(*count) : std::string("?"); };
  return shown(job.on_node) + " of " + shown(job.all);
}

CpuView first_cpus(std::uint32_t count) {
  std::vector<std::uint32_t> list(count);
  for (std::uint32_t i = 0; i < count; ++i) list[i] = i;
  return make_cpu_view(list);
}

std::uint32_t threads(const Variables& variables, std::uint32_t ranks, std::uint32_t cpus_in_mask) {
  CpuView view = first_cpus(cpus_in_mask);
  limit_to(batch_cpus(environment_of(variables), "n1"), view);
  return fair_threads(std::vector<CpuView>(ranks, view), 0);
}

}  // namespace

TEST_CASE("batch: CPUs of this node and of the job, by each system's variables") {
  CHECK(described({}) == "? of ?");
  CHECK(described({{"NSLOTS", "8"}, {"NCPUS", "8"}}) == "? of ?");  // outside of a job these variables mean nothing
  CHECK(described({{"SGE_TASK_ID", "undefined"}, {"NSLOTS", "8"}, {"NHOSTS", "1"}}) == "8 of 8");
  CHECK(described({{"SGE_TASK_ID", "1"}, {"NSLOTS", "16"}, {"NHOSTS", "2"}}) == "? of 16");
  CHECK(described({{"LSB_JOBID", "1"}, {"LSB_DJOB_NUMPROC", "12"}, {"LSB_MCPU_HOSTS", "n0 4 n1 8"}}) == "8 of 12");
  CHECK(described({{"LSB_JOBID", "1"}, {"LSB_DJOB_NUMPROC", "12"}, {"LSB_MCPU_HOSTS", "alias 12"}}) == "12 of 12");
  CHECK(described({{"PBS_JOBID", "1"}, {"PBS_NP", "32"}, {"PBS_NUM_PPN", "16"}}) == "16 of 32");
  CHECK(described({{"PBS_JOBID", "1"}, {"NCPUS", "16"}}) == "? of ?");
  CHECK(described({{"SLURM_JOB_ID", "1"}, {"SLURM_JOB_CPUS_PER_NODE", "32(x3),16"}}) == "32 of ?");
  for (const char* odd : {"", "many", "0", "-4", "8x", "99999999999999999999"}) {
    CHECK(described({{"SGE_TASK_ID", "1"}, {"NSLOTS", odd}}) == "? of ?");
    CHECK(described({{"SLURM_JOB_ID", "1"}, {"SLURM_JOB_CPUS_PER_NODE", odd}}) == "? of ?");
  }
}

TEST_CASE("batch: host files") {
  {
    const HostFile file("n0 4 all.q@n0 UNDEFINED\nn1.cluster 8 all.q@n1 UNDEFINED\nn1.cluster 2 b.q@n1 <NULL>\n");
    CHECK(described({{"SGE_TASK_ID", "1"}, {"NSLOTS", "14"}, {"NHOSTS", "2"}, {"PE_HOSTFILE", file.path}}) ==
          "10 of 14");
  }
  const HostFile file("n0\nn0\nn1\nn1\nn1\n");
  CHECK(described({{"PBS_JOBID", "1"}, {"PBS_NP", "5"}, {"PBS_NODEFILE", file.path}}) == "3 of 5");
  CHECK(described({{"PBS_JOBID", "1"}, {"NCPUS", "4"}, {"PBS_NODEFILE", file.path}}) == "12 of ?");
  CHECK(described({{"PBS_JOBID", "1"}, {"NCPUS", "4"}, {"PBS_NODEFILE", "/nowhere"}}) == "? of ?");
}

TEST_CASE("batch: auto takes no more than was allocated, and a tighter mask counts") {
  const Variables eight = {{"SGE_TASK_ID", "1"}, {"NSLOTS", "8"}};
  CHECK(threads(eight, 1, 64) == 8);
  CHECK(threads(eight, 2, 64) == 4);
  CHECK(threads(eight, 16, 64) == 1);
  CHECK(threads(eight, 1, 4) == 4);  // the binding is tighter
  CHECK(threads({}, 2, 64) == 32);
  CpuView quota = first_cpus(64);
  quota.quota = 2, quota.quota_group = 7;
  limit_to({8, 8}, quota);
  CHECK(quota.quota == 2);
  CHECK(quota.quota_group == 7);
}
