#include "generate/load_on_nodes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text/format.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/host.hpp"

namespace moemill::mill {
namespace {

// Of each layer the number of experts and the experts, and their number in all in front.
std::vector<std::int32_t> as_words(const model::NodeExperts& experts) {
  std::vector<std::int32_t> words{0};
  for (std::uint32_t l = 0; l < experts.layers(); ++l) {
    const auto layer = experts.layer({static_cast<std::int32_t>(l)});
    words.push_back(static_cast<std::int32_t>(layer.size()));
    for (const GlobalExpert expert : layer) words.push_back(expert.value);
  }
  words.front() = static_cast<std::int32_t>(words.size());
  return words;
}

model::NodeExperts from_words(std::span<const std::int32_t> words) {
  std::vector<std::vector<GlobalExpert>> layers;
  for (std::size_t at = 1; at < static_cast<std::size_t>(words[0]);) {
    std::vector<GlobalExpert>& layer = layers.emplace_back();
    for (std::int32_t left = words[at++]; left > 0; --left) layer.push_back({words[at++]});
  }
  return model::NodeExperts(std::move(layers));
}

// What the mates hold together: they may belong to several domains, each with its own placement. Collective over them.
model::NodeExperts experts_of_node(const model::NodeExperts& own, const Ranks& ranks) {
  std::vector<std::int32_t> mine = as_words(own);
  const std::vector<std::size_t> sizes = gather(ranks.mates, mine.size());
  mine.resize(*std::max_element(sizes.begin(), sizes.end()));
  std::vector<std::int32_t> all(mine.size() * sizes.size());
  ranks.mates.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
  model::NodeExperts node;
  for (std::size_t r = 0; r < sizes.size(); ++r)
    node.add(from_words(std::span(all).subspan(r * mine.size(), mine.size())));
  return node;
}

// What the mates hold that are of this rank's domain.
model::NodeExperts experts_of_mates_in_domain(const model::Placement& placement, const Ranks& ranks) {
  const std::vector<int> memories = memory_of_domain(ranks, MatesShare::Yes);
  model::NodeExperts experts;
  for (std::size_t r = 0; r < memories.size(); ++r) {
    if (memories[r] == memories[static_cast<std::size_t>(ranks.domain.rank())])
      experts.add(placement, {static_cast<std::int32_t>(r)});
  }
  return experts;
}

// Shared memory for the plan of all mates, or why there is none. Collective over the mates.
NodeMemory::Attempt share(const Comm& mates, const WeightsPlan& plan) {
  const std::vector<WeightsPlan> plans = gather(mates, plan);
  if (std::any_of(plans.begin(), plans.end(), [&](const WeightsPlan& p) { return p.form != plan.form; }))
    return {NodeMemory(), "their kernel bodies read weights in different orders (MOEMILL_ISA)"};
  if (std::any_of(plans.begin(), plans.end(), [&](const WeightsPlan& p) { return p != plan; }))
    return {NodeMemory(), "they see different files under the model's path"};
  return NodeMemory::share(mates, plan.memory_bytes);
}

void report(const Ranks& ranks, const BackendMemory& memory) {
  if (ranks.mates.rank() != 0 || memory.node_weights == 0) return;
  const std::string where =
      memory.huge_pages == memory.node_weights ? "all of it on huge pages"
      : memory.huge_pages > 0
          ? fmt::format("{} of it on huge pages", gib(memory.huge_pages))
          : std::string("on small pages: this kernel gives shared memory no huge ones (it takes Linux 6.1)");
  log::info("{} ranks on {} share {} of weights, {}", ranks.mates.size(), host_name(), gib(memory.node_weights), where);
}

}  // namespace

std::vector<int> memory_of_domain(const Ranks& ranks, MatesShare share) {
  const int first_mate = gather(ranks.mates, ranks.world.rank()).front();
  return gather(ranks.domain, share == MatesShare::Yes ? first_mate : ranks.world.rank());
}

model::WeightsDigest load_on_nodes(Backend& backend, WeightsWanted wanted, const Ranks& ranks,
                                   const ParallelSettings& parallel, const std::function<void()>& between) {
  if (ranks.world.rank() == 0) wanted.announce = model::Announce::Progress;
  const model::NodeExperts own = wanted.node;
  wanted.node = experts_of_node(own, ranks);
  wanted.computes = experts_of_mates_in_domain(wanted.placement, ranks);
  WeightsPlan plan;
  run_on_all_ranks(ranks.world, [&] { plan = backend.plan_weights(wanted); });
  NodeMemory::Attempt shared;
  if (ranks.mates.size() > 1) shared = share(ranks.mates, plan);
  run_on_all_ranks(ranks.world, [&] {
    if (shared.memory.is_shared()) return;
    if (ranks.mates.size() > 1 && parallel.node_memory == "required")
      user_error(
          "parallel.node_memory is required, but the {} ranks on {} cannot share memory: {}; run the ranks of a node "
          "as one user in one container, or set it to auto",
          ranks.mates.size(), host_name(), shared.why_not);
    if (ranks.mates.size() > 1 && ranks.mates.rank() == 0)
      log::warning("the {} ranks on {} cannot share memory, so each has a copy of the weights: {}", ranks.mates.size(),
                   host_name(), shared.why_not);
    if (ranks.mates.size() > 1) {
      wanted.node = wanted.computes = own;
      plan = backend.plan_weights(wanted);
    }
    shared.memory = NodeMemory(plan.memory_bytes, "the model's weights");
  });
  model::WeightsDigest digest;
  run_on_all_ranks(ranks.world, [&] { digest = backend.load_weights(std::move(shared.memory), between); });
  report(ranks, backend.memory());
  return digest;
}

}  // namespace moemill::mill
