#include "system/machine/batch.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "system/machine/host.hpp"

namespace moemill {
namespace {

using Count = std::optional<std::uint64_t>;

constexpr std::uint64_t most_cpus = 1 << 20;  // per node; a larger number is not a number of CPUs

Count count_in(std::string_view text) {
  std::uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && rest == text.data() + text.size();
  return whole && value > 0 && value <= most_cpus ? Count(value) : std::nullopt;
}

Count count_of(const Environment& environment, const char* name) {
  const char* text = environment(name);
  return text ? count_in(text) : std::nullopt;
}

std::string short_name(std::string_view host) { return std::string(host.substr(0, host.find('.'))); }

// CPUs by host, or lines of a list by host.
struct Hosts {
  std::map<std::string, std::uint64_t> counts;
  Count of(std::string_view host) const {
    const auto found = counts.find(short_name(host));
    return found == counts.end() ? std::nullopt : Count(found->second);
  }
};

// Each line is "HOST SLOTS QUEUE PROCESSORS". A host may have several lines, for different queues.
Hosts read_grid_engine_hosts(const char* path) {
  Hosts hosts;
  std::ifstream file(path ? path : "");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string host, slots;
    if (!(words >> host >> slots)) continue;
    hosts.counts[short_name(host)] += count_in(slots).value_or(0);
  }
  return hosts;
}

// The file has one line per process slot.
Hosts read_pbs_hosts(const char* path) {
  Hosts hosts;
  std::ifstream file(path ? path : "");
  for (std::string host; file >> host;) hosts.counts[short_name(host)]++;
  return hosts;
}

// "HOST SLOTS HOST SLOTS ..."
Hosts parse_lsf_hosts(const char* text) {
  Hosts hosts;
  std::istringstream words(text ? text : "");
  for (std::string host, slots; words >> host >> slots;) hosts.counts[short_name(host)] += count_in(slots).value_or(0);
  return hosts;
}

BatchCpus of_grid_engine(const Environment& environment, std::string_view host) {
  BatchCpus job;
  job.all = count_of(environment, "NSLOTS");
  job.on_node = read_grid_engine_hosts(environment("PE_HOSTFILE")).of(host);
  if (!job.on_node && count_of(environment, "NHOSTS").value_or(1) == 1) job.on_node = job.all;
  return job;
}

BatchCpus of_lsf(const Environment& environment, std::string_view host) {
  BatchCpus job;
  job.all = count_of(environment, "LSB_DJOB_NUMPROC");
  const Hosts hosts = parse_lsf_hosts(environment("LSB_MCPU_HOSTS"));
  job.on_node = hosts.of(host);
  if (!job.on_node && hosts.counts.size() == 1) job.on_node = job.all;
  return job;
}

// Torque lists a host once per processor. PBS Pro lists it once per MPI process, and NCPUS is the number of CPUs in
// each chunk of the first kind: with several processes per chunk the product exceeds the job's CPUs, but is never below
// them.
BatchCpus of_pbs(const Environment& environment, std::string_view host) {
  BatchCpus job;
  const Hosts hosts = read_pbs_hosts(environment("PBS_NODEFILE"));
  if (const Count all = count_of(environment, "PBS_NP")) {
    job.all = all;
    job.on_node = hosts.of(host);
    if (!job.on_node) job.on_node = count_of(environment, "PBS_NUM_PPN");
    return job;
  }
  const Count a_chunk = count_of(environment, "NCPUS"), chunks = hosts.of(host);
  if (!a_chunk || !chunks) return job;
  job.on_node = *a_chunk * *chunks;
  if (hosts.counts.size() == 1 && *chunks == 1) job.all = a_chunk;
  return job;
}

// "32(x3),16": the largest number bounds every node of the job. SLURM_CPUS_ON_NODE is no alternative, because it
// belongs to the step, and mpirun's agents are a step of their own.
Count most_of_slurm(const char* text) {
  Count most;
  std::istringstream items(text ? text : "");
  for (std::string item; std::getline(items, item, ',');) {
    const Count cpus = count_in(std::string_view(item).substr(0, item.find('(')));
    if (!cpus) return std::nullopt;
    most = std::max(most.value_or(0), *cpus);
  }
  return most;
}

}  // namespace

BatchCpus batch_cpus(const Environment& environment, std::string_view host) {
  if (environment("SLURM_JOB_ID")) return {most_of_slurm(environment("SLURM_JOB_CPUS_PER_NODE")), std::nullopt};
  if (environment("LSB_JOBID")) return of_lsf(environment, host);
  if (environment("PBS_JOBID")) return of_pbs(environment, host);
  if (environment("SGE_TASK_ID")) return of_grid_engine(environment, host);
  return {};
}

void limit_to(const BatchCpus& job, CpuView& view) {
  if (!job.on_node || *job.on_node >= view.count()) return;  // the mask is at least as tight
  const auto cpus = static_cast<double>(*job.on_node);
  if (view.quota > 0 && view.quota <= cpus) return;
  view.quota = cpus;
  view.quota_group = 1;  // the group of all the job's processes
}

CpuView cpus_of_this_rank() {
  CpuView view = this_process_cpus();
  limit_to(batch_cpus([](const char* name) { return std::getenv(name); }, host_name()), view);
  return view;
}

}  // namespace moemill
