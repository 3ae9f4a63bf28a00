#include "plan/answer/launch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moemill::estimate {

std::string parallel_block(const Plan& plan) {
  const Layout& answers = plan.decode.layout;
  std::string text = "parallel:\n";
  text += fmt::format("  expert_domain: {}\n", answers.gpus);
  if (answers.redundant_experts > 0 && !plan.hardware->measured)
    text += fmt::format("  redundant_experts: {}\n", answers.redundant_experts);
  text += fmt::format("  micro_batches: {}\n", std::max(answers.micro_batches, plan.prefill.layout.micro_batches));
  if (plan.is_split) text += fmt::format("  roles: {{prefill_ranks: {:.0f}}}\n", plan.prefill.gpus());
  text += fmt::format("  max_num_seqs: {:.0f}\n", std::clamp(plan.decode.rows_per_gpu, 1.0, 65536.0));
  text += fmt::format("  max_num_batched_tokens: {:.0f}\n",
                      std::clamp(std::ceil(plan.prefill.rows_per_gpu), 1.0, 1048576.0));
  if (plan.hardware->threads_per_rank > 0)
    text += fmt::format("  threads_per_rank: {}\n", plan.hardware->threads_per_rank);
  return text;
}

std::string launch_line(const Plan& plan) {
  if (!plan.hardware->measured) return "";
  const std::uint32_t per_node = std::min(plan.gpus, plan.hardware->gpus_per_node);
  const std::uint32_t threads = std::max(1u, plan.hardware->threads_per_rank);
  if (plan.nodes() == 1)
    return fmt::format("mpirun -n {} --map-by ppr:{}:node:pe={} moemill run -c run.yaml", plan.gpus, plan.gpus,
                       threads);
  return fmt::format(
      "sbatch --nodes={} --ntasks-per-node={} --cpus-per-task={} jobs/nodes-mpirun.sbatch   # or: mpirun -n {} "
      "--map-by "
      "ppr:{}:node:pe={} moemill run -c run.yaml",
      plan.nodes(), per_node, threads, plan.gpus, per_node, threads);
}

}  // namespace moemill::estimate
