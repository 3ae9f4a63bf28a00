// Threads per rank and warnings about cores, on invented machines.
#include "plan/cores.hpp"

#include <doctest/doctest.h>

#include <map>
#include <numeric>

using namespace moemill;
using namespace moemill::mill;

namespace {

CpuView cpus(std::uint32_t first, std::uint32_t count, std::uint32_t machine = 0) {
  std::vector<std::uint32_t> list(count);
  std::iota(list.begin(), list.end(), first);
  CpuView view = make_cpu_view(list);
  view.machine_cpus = std::max(machine, count);
  return view;
}

std::vector<CpuView> bound(std::uint32_t ranks, std::uint32_t each, std::uint32_t machine) {
  std::vector<CpuView> views;
  for (std::uint32_t r = 0; r < ranks; ++r) views.push_back(cpus(r * each, each, machine));
  return views;
}

std::vector<std::uint32_t> shares(const std::vector<CpuView>& views) {
  std::vector<std::uint32_t> threads;
  for (std::size_t r = 0; r < views.size(); ++r) threads.push_back(fair_threads(views, r));
  return threads;
}

SlurmJob slurm(std::map<std::string, std::string> variables) {
  variables["SLURM_JOB_ID"] = "7";
  return slurm_job([&](const char* name) {
    const auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  });
}

// The warnings of a job on these nodes.
std::string told(const CoreUse& use, const SlurmJob& job = {}) {
  std::string text = cores_line(use, job);
  for (const auto& warning : core_warnings(use, job)) text += "\n" + warning;
  return text;
}

bool says(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("threads: each rank takes the CPUs it may use, fairly with those beside it") {
  CHECK(shares(bound(4, 16, 64)) == std::vector<std::uint32_t>{16, 16, 16, 16});
  CHECK(shares(bound(64, 1, 64)) == std::vector<std::uint32_t>(64, 1));
  CHECK(shares(std::vector(4, cpus(0, 64))) == std::vector<std::uint32_t>(4, 16));
  CHECK(shares(std::vector(3, cpus(0, 64))) == std::vector<std::uint32_t>(3, 21));
  CHECK(shares(std::vector(4, cpus(0, 2))) == std::vector<std::uint32_t>(4, 1));
  CHECK(shares({cpus(3, 1)}) == std::vector<std::uint32_t>{1});
  CHECK(shares({cpus(0, 8), cpus(0, 4)}) == std::vector<std::uint32_t>{6, 2});
  CHECK(shares({cpus(4000, 300)}) == std::vector<std::uint32_t>{300});
}

TEST_CASE("threads: the time that control groups allow, shared by the ranks in one") {
  auto limited = [](double quota, std::uint64_t group) {
    CpuView view = cpus(0, 64);
    view.quota = quota, view.quota_group = group;
    return view;
  };
  CHECK(shares({limited(3.5, 1)}) == std::vector<std::uint32_t>{3});
  CHECK(shares({limited(0.5, 1)}) == std::vector<std::uint32_t>{1});
  CHECK(shares({limited(8, 1), limited(8, 1)}) == std::vector<std::uint32_t>{4, 4});
  CHECK(shares({limited(8, 1), limited(8, 2)}) == std::vector<std::uint32_t>{8, 8});
  CHECK(usable_cpus(std::vector{limited(8, 1), limited(8, 2)}) == 16);
  CHECK(usable_cpus(std::vector{limited(8, 1), limited(8, 1)}) == 8);
}

TEST_CASE("threads: lists of CPUs as the kernel writes them") {
  CHECK(parse_cpu_list("0-3,8") == std::vector<std::uint32_t>{0, 1, 2, 3, 8});
  CHECK(parse_cpu_list("5") == std::vector<std::uint32_t>{5});
  for (const char* text : {"", "a", "1-", "1,,2", "3-x", "99999"}) CHECK(parse_cpu_list(text).empty());
}

TEST_CASE("cores: what the first lines say") {
  CoreUse use = core_use_of_node(bound(4, 16, 64), std::vector<std::uint32_t>(4, 16));
  CHECK(told(use) == "4 ranks × 16 threads on 64 of 64 cores");
  add(use, core_use_of_node(bound(4, 16, 64), std::vector<std::uint32_t>(4, 16)));
  CHECK(told(use) == "8 ranks × 16 threads on 128 of 128 cores");
  CHECK(told(use, slurm({{"SLURM_NTASKS", "8"}, {"SLURM_JOB_CPUS_PER_NODE", "64(x2)"}})) ==
        "8 ranks × 16 threads on 128 of 128 cores");
  CHECK(told(core_use_of_node(std::vector{cpus(0, 2)}, std::vector<std::uint32_t>{2})) ==
        "1 rank × 2 threads on 2 of 2 cores");
}

TEST_CASE("cores: one warning each, with the numbers") {
  const auto one = [](std::uint32_t ranks, std::uint32_t each, std::uint32_t machine, std::uint32_t threads) {
    return core_use_of_node(bound(ranks, each, machine), std::vector<std::uint32_t>(ranks, threads));
  };
  // Without mpirun: one process for 64 tasks. This is the only warning.
  const std::string forgotten = told(one(1, 64, 64, 64), slurm({{"SLURM_NTASKS", "64"}}));
  CHECK(says(forgotten, "this is one rank, and the Slurm job was given 64 tasks"));
  CHECK_FALSE(says(forgotten, "idle"));
  // A step of one task in a job of many is intended.
  CHECK_FALSE(says(told(one(1, 1, 64, 1), slurm({{"SLURM_NTASKS", "64"}, {"SLURM_STEP_NUM_TASKS", "1"}})), "forg"));
  CHECK(core_warnings(one(1, 1, 1, 1),
                      slurm({{"SLURM_NTASKS", "64"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_STEP_ID", "3"}}))
            .empty());
  CHECK(core_warnings(one(1, 1, 1, 1),
                      slurm({{"SLURM_NTASKS", "64"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_STEP_ID", "4294967290"}}))
            .size() == 1);
  // --cpus-per-task did not reach the ranks.
  const std::string lost = told(one(1, 2, 2, 2), slurm({{"SLURM_NTASKS", "1"}, {"SLURM_CPUS_PER_TASK", "8"}}));
  CHECK(says(lost, "6 of 8 cores are idle"));
  CHECK(says(lost, "the job asked for 8 per task"));
  // The threads are bound to one core.
  const std::string cramped = told(one(2, 1, 2, 4));
  CHECK(says(cramped, "2 ranks with 4 threads are bound to 1 core"));
  CHECK_FALSE(says(cramped, "share"));
  // Threads share cores.
  const CoreUse crowd = core_use_of_node(std::vector(4, cpus(0, 2)), std::vector<std::uint32_t>(4, 1));
  CHECK(says(told(crowd), "4 ranks × 1 thread on 2 of 2 cores"));
  CHECK(says(told(crowd), "4 threads share 2 cores"));
  // Cores are idle because of a launcher's binding, and because of a setting.
  CHECK(says(told(one(2, 1, 64, 1)), "62 of 64 cores are idle"));
  CHECK(says(told(one(1, 8, 8, 2)), "6 of 8 cores are idle"));
  CHECK(core_warnings(one(21, 3, 64, 3), {}).empty());  // one core of 64
  SlurmJob pbs;
  pbs.of_another_system = true;
  CHECK(core_warnings(one(8, 1, 64, 1), pbs).empty());
}

TEST_CASE("cores: what a job has held") {
  const CoreUse use = core_use_of_node(bound(2, 1, 64), std::vector<std::uint32_t>(2, 1));
  CHECK(allocated_cores(use, {}) == 2);
  CHECK(allocated_cores(use, slurm({{"SLURM_NTASKS", "2"}, {"SLURM_JOB_CPUS_PER_NODE", "64"}})) == 64);
  CHECK(slurm({{"SLURM_JOB_CPUS_PER_NODE", "32(x3),16"}}).cpus == 112);
  for (const char* text : {"", "x", "3(x", "3(xy)", "4,,4"})
    CHECK_FALSE(slurm({{"SLURM_JOB_CPUS_PER_NODE", text}}).cpus);
}
