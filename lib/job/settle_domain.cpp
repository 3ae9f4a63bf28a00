#include "job/settle_domain.hpp"

#include <algorithm>
#include <set>

#include "base/log.hpp"
#include "plan/expert_domain.hpp"
#include "plan/fit.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/memory.hpp"
#include "weights/stored_model.hpp"

namespace moemill::mill {
namespace {

// What a node may take: the nodes of a machine (parallel.ranks_per_node) share its memory evenly. The programs of ranks
// that run already count twice, here and in what a layout needs, which is little.
std::uint64_t least_node_bytes(const Ranks& ranks) {
  const int mine = ranks.node_of_rank[static_cast<std::size_t>(ranks.world.rank())];
  const std::vector<int> beside = gather(ranks.machine, mine);
  const std::set<int> nodes(beside.begin(), beside.end());
  std::uint64_t bytes = 0;
  run_on_all_ranks(ranks.world, [&] { bytes = memory_left(ranks.machine.size()).bytes / nodes.size(); });
  const std::vector<std::uint64_t> all = gather(ranks.world, bytes);
  return *std::min_element(all.begin(), all.end());
}

void log_choice(const DomainChoice& choice) {
  log::info("parallel.expert_domain: auto is {}: {}", choice.setting, reason_text(choice));
  for (const std::string& line : layout_lines(choice)) log::info("  {}", line);
}

}  // namespace

void settle_domain(Ranks& ranks, const RunConfig& config, const model::ModelConfig& model, const JobEstimate& job,
                   std::uint64_t process_bytes) {
  if (config.parallel.expert_domain != "auto" || ranks.nodes == 1) return;
  const std::uint64_t node_bytes = least_node_bytes(ranks);
  ParallelSettings parallel = config.parallel;
  parallel.threads_per_rank = static_cast<std::uint32_t>(ranks.cores.threads);
  std::vector<int> nodes = ranks.node_of_rank;
  std::sort(nodes.begin(), nodes.end());
  std::string setting;
  run_on_rank_zero(ranks.world, [&] {
    const model::ModelConfig stored = model::stored_config(config.model.path, model, config.model.load_format);
    const DomainChoice choice =
        choose_domain({stored, parallel, nodes, job.sequences, job.likely_tokens, node_bytes, process_bytes});
    log_choice(choice);
    setting = choice.setting;
  });
  setting = broadcast_text(ranks.world, setting, 0);
  if (setting != "world") spread_experts(ranks, setting);
}

}  // namespace moemill::mill
