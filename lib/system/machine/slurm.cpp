#include "system/machine/slurm.hpp"

#include <charconv>
#include <cstring>
#include <string_view>

#include "system/machine/batch.hpp"
#include "system/machine/host.hpp"

namespace moemill {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest != text.data() + text.size() || value > (std::uint64_t{1} << 40))
    return std::nullopt;
  return value;
}

std::optional<std::uint64_t> number_of(const Environment& environment, const char* name) {
  const char* text = environment(name);
  return text ? number(text) : std::nullopt;
}

// Adds up "32(x3),16": three nodes with 32 and one with 16.
std::optional<std::uint64_t> sum_over_nodes(std::string_view text) {
  std::uint64_t sum = 0;
  while (!text.empty()) {
    const std::size_t end = text.find(',');
    std::string_view item = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    std::optional<std::uint64_t> times = 1;
    if (const std::size_t bracket = item.find("(x"); bracket != std::string_view::npos && item.ends_with(")")) {
      times = number(item.substr(bracket + 2, item.size() - bracket - 3));
      item = item.substr(0, bracket);
    }
    const auto one = number(item);
    if (!one || !times || *times > 1'000'000 || *one > 1'000'000) return std::nullopt;
    sum += *one * *times;
  }
  return sum > 0 ? std::optional(sum) : std::nullopt;
}

// The step in which `salloc` runs its shell (LaunchParameters=use_interactive_step), which does not launch ranks.
constexpr std::string_view interactive_step = "4294967290";

}  // namespace

SlurmJob slurm_job(const Environment& environment) {
  SlurmJob job;
  for (const char* name : {"PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID"})
    if (environment(name)) job.of_another_system = true;
  if (!environment("SLURM_JOB_ID")) {
    job.cpus = batch_cpus(environment, host_name()).all;
    return job;
  }
  job.tasks = number_of(environment, "SLURM_NTASKS");
  job.cpus_per_task = number_of(environment, "SLURM_CPUS_PER_TASK");
  job.cpus_on_node = number_of(environment, "SLURM_CPUS_ON_NODE");
  job.nodes = number_of(environment, "SLURM_JOB_NUM_NODES");
  if (const char* cpus = environment("SLURM_JOB_CPUS_PER_NODE")) job.cpus = sum_over_nodes(cpus);
  if (!job.cpus && job.tasks && job.cpus_per_task) job.cpus = *job.tasks * *job.cpus_per_task;
  const char* step = environment("SLURM_STEP_ID");
  if (!step || step != interactive_step) job.step_tasks = number_of(environment, "SLURM_STEP_NUM_TASKS");
  // 0 means all memory of the node, like --mem=0.
  constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
  const auto per_node = number_of(environment, "SLURM_MEM_PER_NODE"),
             per_cpu = number_of(environment, "SLURM_MEM_PER_CPU");
  if (per_node.value_or(0) > 0) job.memory_on_node_bytes = *per_node * mebibyte;
  if (!job.memory_on_node_bytes && per_cpu.value_or(0) > 0 && job.cpus_on_node)
    job.memory_on_node_bytes = *per_cpu * *job.cpus_on_node * mebibyte;
  return job;
}

}  // namespace moemill
