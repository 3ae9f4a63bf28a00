#include "plan/footprint.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "base/error.hpp"
#include "layers/cpu/cpu.hpp"
#include "layers/cpu/product_scratch.hpp"
#include "layers/dispatch/domain_nodes.hpp"
#include "layers/dispatch/place_experts.hpp"
#include "layers/micro_batches.hpp"
#include "layers/working_set.hpp"
#include "plan/ranks.hpp"
#include "schedule/micro_batches.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::mill {
namespace {

// From some hundred rows on, workspaces grow linearly with the rows of a step.
constexpr std::uint32_t rows_to_try = 1024;

// Creates the buffers of a forward pass without weights and counts them, which takes a moment and at most a few hundred
// MiB. A dozen classes of a backend have buffers; asking the objects themselves leaves no second list of sizes here
// that could drift. Only the MLPs' scratch is computed (mlp_bytes), because it has no memory before the first step.
std::uint64_t forward_bytes(const model::ModelConfig& config, const ParallelSettings& settings,
                            std::uint32_t micro_batches, std::uint32_t rows) {
  cpu::Stream stream(cpu::best_isa(), static_cast<int>(settings.threads_per_rank.value_or(1)));
  const model::Weights none;
  const model::Placement alone = model::contiguous_slices(config, 1);
  layers::ForwardSettings forward;
  forward.max_rows = rows;
  forward.max_positions = config.max_positions;
  forward.pages = model::windowed_layers(config) < config.layers ? 1 : 0;
  forward.window_pages = model::windowed_layers(config) > 0 ? 1 : 0;
  forward.micro_batches = micro_batches;
  layers::DomainSite site = layers::join_alone(layers::exchange_shape(config, forward));
  return layers::Forward<Cpu>(stream, config, none, alone, std::move(site), forward).workspace_bytes();
}

// What the exchange takes besides room for the rank's own rows, in full steps on all ranks: its part of the lists of
// pairs, and rows on their way between the nodes of a domain (layers/dispatch), if the busiest node receives a fifth
// more picks than the mean.
constexpr double busiest_over_mean = 1.2;
double exchange_bytes(const model::ModelConfig& config, double rows, DomainSize domain) {
  const double picks = config.moe.picks, row_bytes = 2.0 * config.hidden, nodes = domain.nodes;
  const double there = 1 - std::pow(1 - 1 / nodes, picks);  // the probability that a node has a pick of a row
  const double leave = rows * (nodes - 1) * there, arrive = rows * domain.senders * there;
  const double outputs = rows * domain.senders * picks / nodes;
  const double listed = config.expert_sum == ExpertSum::Groups ? 41 : 16;  // bytes a pick, in all lists
  return busiest_over_mean * ((leave + arrive + outputs) * row_bytes + rows * picks * listed);
}

std::uint64_t mlp_bytes(const model::ModelConfig& config, std::uint32_t rows, int threads) {
  const auto shape = [&](std::uint32_t width) {
    return layers::MlpShape{std::size_t{model::up_offset_of(width)} + width, width, config.hidden};
  };
  layers::MlpScratchSize size;
  for (const std::uint32_t width : {config.dense_width, config.moe.shared_width})
    if (width > 0) size.cover(layers::MlpScratchSize::of_mlp(shape(width), rows));
  if (config.moe.expert_width > 0)
    size.cover(layers::MlpScratchSize::of_experts(shape(config.moe.expert_width), std::size_t{rows} * config.moe.picks,
                                                  threads));
  return size.bytes();
}

// [layers with routed experts]
std::vector<std::uint32_t> experts_held(const model::Placement& placement, DomainRank rank) {
  std::vector<std::uint32_t> held;
  for (std::uint32_t l = 0; l < placement.layers(); ++l) {
    const model::LayerPlacement& layer = placement.layer({static_cast<std::int32_t>(l)});
    if (layer.experts() > 0) held.push_back(static_cast<std::uint32_t>(layer.slots(rank).size()));
  }
  return held;
}

// Adds up the weights of one node after the other, as ranks come in their order.
class NodeBytes {
 public:
  NodeBytes(const model::ModelConfig& config, const JobShape& shape) : config_(config), shape_(shape) {}

  // Returns what the rank's node holds, if this is its last rank.
  std::uint64_t add(std::uint32_t rank, const model::Placement& placement, DomainRank place, std::uint64_t rank_bytes) {
    const int node = shape_.node[rank];
    if (rank == 0 || shape_.node[rank - 1] != node) held_ = {}, separate_ = 0;
    const bool is_last = rank + 1 == shape_.ranks || shape_.node[rank + 1] != node;
    separate_ += rank_bytes;
    if (shape_.copies == Copies::OneARank) return separate_;
    held_.add(placement, place);
    if (!is_last) return 0;
    const auto [known, is_new] = bytes_of_.try_emplace(held_.counts());
    if (is_new) known->second = model::weight_bytes(config_, held_);
    return known->second;
  }

 private:
  const model::ModelConfig& config_;
  const JobShape& shape_;
  model::NodeExperts held_;
  std::uint64_t separate_ = 0;
  std::map<std::vector<std::size_t>, std::uint64_t> bytes_of_;  // by the number of experts in each layer
};

}  // namespace

std::vector<int> nodes_in_a_row(std::uint32_t ranks, std::uint32_t ranks_per_node) {
  std::vector<int> nodes;
  for (std::uint32_t r = 0; r < ranks; ++r) nodes.push_back(static_cast<int>(r / ranks_per_node));
  return nodes;
}

JobShape shape_of(const ParallelSettings& settings, std::span<const int> nodes) {
  expect(std::ranges::is_sorted(nodes), "the ranks of a shape go from node to node");
  std::map<int, std::uint32_t> on_node, sizes;  // ranks, by node and by domain
  JobShape shape;
  shape.ranks = static_cast<std::uint32_t>(nodes.size());
  shape.node.assign(nodes.begin(), nodes.end());
  for (const int node : nodes) shape.ranks_per_node = std::max(shape.ranks_per_node, ++on_node[node]);
  if (settings.node_memory != "off" && shape.ranks_per_node > 1) shape.copies = Copies::OneANode;
  shape.domain = domains_of_ranks(settings.expert_domain, nodes);
  for (const int domain : shape.domain) shape.domain_rank.push_back(sizes[domain]++);
  for (const int domain : shape.domain) shape.domain_size.push_back(sizes[domain]);
  shape.redundant_experts = settings.redundant_experts;
  shape.warning = cut_nodes_warning(settings.expert_domain, nodes, shape.domain);
  if (shape.warning.empty())  // domains that cut nodes have several
    shape.warning = layers::redundant_warning(largest_domain(shape).nodes, settings.redundant_experts);
  return shape;
}

namespace {

// By domain, of its ranks in the order of their numbers in it.
std::map<int, std::vector<int>> memories_of_domains(const JobShape& shape) {
  std::map<int, std::vector<int>> memories;
  for (std::uint32_t r = 0; r < shape.ranks; ++r)
    memories[shape.domain[r]].push_back(shape.copies == Copies::OneANode ? shape.node[r] : static_cast<int>(r));
  return memories;
}

// The placements of all domains; those of domains that are alike are made once.
class Placements {
 public:
  Placements(const model::ModelConfig& config, const JobShape& shape)
      : config_(config), redundant_(shape.redundant_experts), memories_(memories_of_domains(shape)) {}

  const model::Placement& of(int domain) {
    const auto known = of_domain_.find(domain);
    if (known != of_domain_.end()) return *known->second;
    const layers::DomainNodes nodes(memories_.at(domain));
    std::vector<std::uint32_t> node_of_rank;
    for (std::uint32_t r = 0; r < nodes.ranks(); ++r) node_of_rank.push_back(nodes.node_of(static_cast<int>(r)));
    auto made = made_.find(node_of_rank);
    if (made == made_.end())
      made = made_.emplace(node_of_rank, layers::place_experts(config_, nodes, redundant_)).first;
    return *(of_domain_[domain] = &made->second);
  }

 private:
  const model::ModelConfig& config_;
  const std::uint32_t redundant_;
  const std::map<int, std::vector<int>> memories_;
  std::map<std::vector<std::uint32_t>, model::Placement> made_;  // by the nodes of the domain's ranks
  std::map<int, const model::Placement*> of_domain_;
};

}  // namespace

DomainSize largest_domain(const JobShape& shape) {
  DomainSize largest;
  for (const auto& [domain, memory_of_rank] : memories_of_domains(shape)) {
    const layers::DomainNodes nodes(memory_of_rank);
    largest.ranks = std::max(largest.ranks, nodes.ranks());
    largest.nodes = std::max(largest.nodes, nodes.nodes());
    largest.senders = std::max(largest.senders, nodes.most_senders());
  }
  return largest;
}

WeightShare weight_share(const model::ModelConfig& config, const JobShape& shape) {
  std::map<std::vector<std::uint32_t>, std::uint64_t> bytes_of;  // by the number of experts in each routed layer
  auto bytes = [&](const model::Placement& placement, DomainRank rank, const std::vector<std::uint32_t>& held) {
    const auto [known, is_new] = bytes_of.try_emplace(held);
    if (is_new) known->second = model::weight_bytes(config, placement, rank);
    return known->second;
  };
  WeightShare share;
  const auto none = model::contiguous_slices(config, config.moe.experts + 1);  // the first rank holds no expert
  share.replicated_bytes = model::weight_bytes(config, none, {0});
  share.fewest_experts = std::numeric_limits<std::uint32_t>::max();
  Placements placements(config, shape);
  NodeBytes nodes(config, shape);
  for (std::uint32_t r = 0; r < shape.ranks; ++r) {
    const DomainRank rank{static_cast<std::int32_t>(shape.domain_rank[r])};
    const model::Placement& placement = placements.of(shape.domain[r]);
    const std::vector<std::uint32_t> held = experts_held(placement, rank);
    for (std::uint32_t experts : held) {
      share.fewest_experts = std::min(share.fewest_experts, experts);
      share.most_experts = std::max(share.most_experts, experts);
    }
    share.ranks_without_experts += std::count(held.begin(), held.end(), 0u) == std::ssize(held);
    const std::uint64_t rank_bytes = bytes(placement, rank, held);
    share.rank_bytes = std::max(share.rank_bytes, rank_bytes);
    share.node_bytes = std::max(share.node_bytes, nodes.add(r, placement, rank, rank_bytes));
  }
  if (shape.copies == Copies::OneANode) share.shared_bytes = share.node_bytes;
  return share;
}

std::uint64_t workspace_bytes(const model::ModelConfig& config, const ParallelSettings& settings, DomainSize domain) {
  const std::uint32_t rows = settings.max_num_batched_tokens;
  const std::uint32_t batches = schedule::most_micro_batches(settings.micro_batches, domain.ranks);
  double forward = static_cast<double>(forward_bytes(config, settings, batches, std::min(rows, rows_to_try)));
  if (rows > rows_to_try) {
    const double half = static_cast<double>(forward_bytes(config, settings, batches, rows_to_try / 2));
    forward += (forward - half) * (rows - rows_to_try) / (rows_to_try / 2);
  }
  return static_cast<std::uint64_t>(
             forward + exchange_bytes(config, rows + (batches > 1 ? layers::larger_half(rows) : 0), domain)) +
         mlp_bytes(config, rows, static_cast<int>(settings.threads_per_rank.value_or(1)));
}

std::uint64_t scratch_bytes(const model::ModelConfig& config, const ParallelSettings& settings) {
  return settings.threads_per_rank.value_or(1) * cpu::product_scratch_bytes(config);
}

}  // namespace moemill::mill
