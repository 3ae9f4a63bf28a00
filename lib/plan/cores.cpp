#include "plan/cores.hpp"

#include "base/text/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "system/machine/batch.hpp"

namespace moemill::mill {
namespace {

constexpr std::uint32_t most_threads = 1024;  // the limit of parallel.threads_per_rank

// All cores that the job might use; its threads use some of them.
std::uint64_t all_cores(const CoreUse& use, const SlurmJob& job) {
  if (job.cpus) return std::max(allocated_cores(use, job), use.busy());
  return job.of_another_system ? use.bound : use.machine;
}

// Idle cores are reported if they are at least a tenth of all cores.
bool many_idle(std::uint64_t busy, std::uint64_t all) { return all > busy && (all - busy) * 10 >= all; }

// A step with fewer tasks than the job may run next to further steps.
bool is_whole_job(const CoreUse& use, const SlurmJob& job) {
  return !job.step_tasks || !job.tasks || (*job.step_tasks >= *job.tasks && use.ranks >= *job.tasks);
}

std::string ranks_and_threads(const CoreUse& use) {
  const std::string each = use.fewest_threads == use.most_threads
                               ? counted(use.most_threads, "thread", "threads")
                               : fmt::format("{} to {} threads", use.fewest_threads, use.most_threads);
  return fmt::format("{} × {}", counted(use.ranks, "rank", "ranks"), each);
}

bool forgot_launcher(const CoreUse& use, const SlurmJob& job) {
  if (use.ranks > 1 || job.step_tasks) return false;
  return job.tasks.value_or(1) > 1 || job.nodes.value_or(1) > 1;
}

std::string forgotten(const SlurmJob& job) {
  return fmt::format(
      "this is one rank, and the Slurm job was given {} on {}: start it with mpirun or srun to use them (mpirun "
      "moemill run ...)",
      counted(job.tasks.value_or(1), "task", "tasks"), counted(job.nodes.value_or(1), "node", "nodes"));
}

std::string idle(const CoreUse& use, const SlurmJob& job, std::uint64_t all) {
  std::string text = fmt::format("{} of {} cores are idle ({})", all - use.busy(), all, ranks_and_threads(use));
  if (use.bound <= use.threads && all > use.bound) {
    text += fmt::format(
        ": the ranks are bound to {} of them; say --map-by ppr:R:node:pe=T to mpirun, --cpus-per-task=T to srun "
        "(again: it does not come from sbatch)",
        use.bound);
    if (job.cpus_per_task) text += fmt::format("; the job asked for {} per task", *job.cpus_per_task);
    return text;
  }
  return text +
         ": more ranks or a larger parallel.threads_per_rank (auto takes all that a rank may use) would use them";
}

}  // namespace

CoreUse core_use_of_node(std::span<const CpuView> beside, std::span<const std::uint32_t> threads) {
  CoreUse use;
  use.ranks = static_cast<std::uint32_t>(beside.size());
  use.fewest_threads = *std::min_element(threads.begin(), threads.end());
  use.most_threads = *std::max_element(threads.begin(), threads.end());
  use.threads = 0;
  for (std::uint32_t t : threads) use.threads += t;
  use.bound = usable_cpus(beside);
  use.machine = use.bound;
  // The binding of a single rank limits the job on purpose; with several ranks it is mostly the launcher's default.
  if (beside.size() > 1 && beside[0].quota == 0)
    use.machine = std::max<std::uint64_t>(use.bound, beside[0].machine_cpus);
  for (std::size_t r = 0; r < beside.size(); ++r) {
    const std::uint32_t cores = usable_cpus(beside.subspan(r, 1));
    if (threads[r] <= cores) continue;
    if (use.cramped_ranks++ == 0) use.cramped_cores = cores;
  }
  if (use.threads > use.bound) use.crowded_threads = use.threads, use.crowded_cores = use.bound;
  return use;
}

void add(CoreUse& sum, const CoreUse& node) {
  sum.ranks += node.ranks;
  sum.fewest_threads = std::min(sum.fewest_threads, node.fewest_threads);
  sum.most_threads = std::max(sum.most_threads, node.most_threads);
  sum.threads += node.threads;
  sum.bound += node.bound;
  sum.machine += node.machine;
  if (sum.cramped_ranks == 0) sum.cramped_cores = node.cramped_cores;
  sum.cramped_ranks += node.cramped_ranks;
  sum.crowded_threads += node.crowded_threads;
  sum.crowded_cores += node.crowded_cores;
}

RankCores arrange_cores(const Comm& world, const Comm& shared, const ParallelSettings& settings) {
  const std::vector<CpuView> beside = gather(shared, cpus_of_this_rank());
  const auto mine = static_cast<std::size_t>(shared.rank());
  const std::uint32_t threads = settings.threads_per_rank.value_or(std::min(most_threads, fair_threads(beside, mine)));
  const CoreUse node = core_use_of_node(beside, gather(shared, threads));
  struct Part {
    CoreUse use;
    int counts;  // set on the first rank of each node
  };
  RankCores cores{static_cast<int>(threads), {}};
  bool is_first = true;
  for (const Part& part : gather(world, Part{node, shared.rank() == 0})) {
    if (!part.counts) continue;
    if (is_first)
      cores.use = part.use;
    else
      add(cores.use, part.use);
    is_first = false;
  }
  return cores;
}

std::uint64_t allocated_cores(const CoreUse& use, const SlurmJob& job) {
  return job.cpus && is_whole_job(use, job) ? *job.cpus : use.bound;
}

std::string cores_line(const CoreUse& use, const SlurmJob& job) {
  return fmt::format("{} on {} of {} cores", ranks_and_threads(use), use.busy(), all_cores(use, job));
}

std::vector<std::string> core_warnings(const CoreUse& use, const SlurmJob& job) {
  std::vector<std::string> warnings;
  const bool is_forgotten = forgot_launcher(use, job);
  if (is_forgotten) warnings.push_back(forgotten(job));
  if (use.cramped_ranks > 0)
    warnings.push_back(
        fmt::format("{} with {} threads {} bound to {}: say --bind-to none or --map-by ppr:R:node:pe=T to mpirun, "
                    "--cpus-per-task=T to srun, or leave parallel.threads_per_rank on auto",
                    counted(use.cramped_ranks, "rank", "ranks"), use.most_threads,
                    use.cramped_ranks == 1 ? "is" : "are", counted(use.cramped_cores, "core", "cores")));
  else if (use.crowded_threads > 0)
    warnings.push_back(fmt::format("{} threads share {}: fewer ranks would be as fast, or faster", use.crowded_threads,
                                   counted(use.crowded_cores, "core", "cores")));
  const std::uint64_t all = all_cores(use, job);
  if (!is_forgotten && many_idle(use.busy(), all)) warnings.push_back(idle(use, job, all));
  return warnings;
}

std::uint32_t threads_here(const ParallelSettings& settings, std::uint32_t ranks_on_machine) {
  if (settings.threads_per_rank) return *settings.threads_per_rank;
  const CpuView here = cpus_of_this_rank();
  const std::uint32_t cpus = usable_cpus(std::span(&here, 1));
  return std::clamp(cpus / std::max(ranks_on_machine, 1u), 1u, most_threads);
}

}  // namespace moemill::mill
