#include "bench/counting/count_exchange.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "base/numbers/bf16.hpp"
#include "base/numbers/rounding.hpp"
#include "layers/dispatch/domain_nodes.hpp"
#include "layers/dispatch/exchange_plan.hpp"
#include "layers/dispatch/node_split.hpp"
#include "layers/dispatch/place_experts.hpp"
#include "layers/dispatch/table.hpp"
#include "layers/micro_batches.hpp"
#include "model/placement.hpp"

namespace moemill::bench {
namespace {

using layers::Cut;

std::vector<int> memories_of(const CountedLayout& layout) {
  std::vector<int> memory(layout.ranks);
  for (std::uint32_t r = 0; r < layout.ranks; ++r) memory[r] = static_cast<int>(r / layout.ranks_per_node);
  return memory;
}

constexpr LayerId any_layer{0};  // the one that is counted

// A node: how it sees the placement, the plan of its ranks' rows, and the pairs of a layer that it computes.
struct Node {
  Node(const model::Placement& placement, const layers::DomainNodes& nodes, std::uint32_t number,
       const layers::ExchangeShape& shape, std::span<const int> machines)
      : table(placement, nodes, number), plan(shape, nodes.nodes(), number, machines) {}
  void place(const model::Placement& placement, const layers::DomainNodes& nodes, std::uint32_t number) {
    table = layers::DispatchTable(placement, nodes, number);
  }

  layers::DispatchTable table;
  layers::ExchangePlan plan;
  std::vector<std::uint32_t> rows_of_slot = {};
};

class Count {
 public:
  Count(const model::ModelConfig& config, const CountedLayout& layout);
  CountedExchange run(const PicksOfRank& picks);

 private:
  void place_by_load(LayerId layer, const PicksOfRank& draw, std::vector<GlobalExpert>& picks);
  void plan_rank(std::uint32_t rank, std::span<const GlobalExpert> picks);
  void share_work();

  const model::ModelConfig& config_;
  const CountedLayout layout_;
  const layers::DomainNodes nodes_;
  const layers::ExchangeShape shape_;
  const layers::RecordForm form_;
  std::vector<std::unique_ptr<Node>> of_node_;
  std::vector<Cut> cuts_;
  CountedExchange out_;
};

Count::Count(const model::ModelConfig& config, const CountedLayout& layout)
    : config_(config),
      layout_(layout),
      nodes_(memories_of(layout)),
      shape_(layers::exchange_shape(config, {.max_rows = layout.rows})),
      form_(shape_.hidden, shape_.picks, config.expert_sum) {
  const model::Placement placement({model::contiguous_slices(config.moe.experts, layout.ranks)});
  std::vector<int> machines(nodes_.nodes());
  std::iota(machines.begin(), machines.end(), 0);
  for (std::uint32_t n = 0; n < nodes_.nodes(); ++n)
    of_node_.push_back(std::make_unique<Node>(placement, nodes_, n, shape_, machines));
  out_.nodes = nodes_.nodes();
}

CountedExchange Count::run(const PicksOfRank& draw) {
  std::vector<GlobalExpert> picks(std::size_t{layout_.rows} * shape_.picks);
  for (std::uint32_t l = 0; l < config_.layers; ++l) {
    if (!config_.layer_is_moe[l]) continue;
    const LayerId layer{static_cast<std::int32_t>(l)};
    ++out_.layers;
    if (layout_.redundant) place_by_load(layer, draw, picks);
    for (auto& node : of_node_) node->rows_of_slot.assign(node->table.slots(any_layer), 0);
    for (std::uint32_t rank = 0; rank < layout_.ranks; ++rank) {
      draw(layer, rank, picks);
      plan_rank(rank, picks);
    }
    share_work();
  }
  for (const auto& node : of_node_) {
    const layers::PlanTotals& totals = node->plan.totals();
    out_.rows += totals.rows, out_.row_nodes += totals.row_nodes;
    out_.inter_node_minimum += totals.inter_node_minimum;
  }
  return out_;
}

void Count::place_by_load(LayerId layer, const PicksOfRank& draw, std::vector<GlobalExpert>& picks) {
  std::vector<std::uint64_t> loads(config_.moe.experts);
  for (std::uint32_t rank = layout_.ranks; rank < 2 * layout_.ranks; ++rank) {
    draw(layer, rank, picks);
    for (const GlobalExpert pick : picks) ++loads[static_cast<std::size_t>(pick.value)];
  }
  const model::Placement placement({layers::place_layer(config_.moe, nodes_, *layout_.redundant, loads)});
  for (std::uint32_t n = 0; n < nodes_.nodes(); ++n) of_node_[n]->place(placement, nodes_, n);
}

// A message leaves for each other node and comes back from it, empty or not.
void Count::plan_rank(std::uint32_t rank, std::span<const GlobalExpert> picks) {
  const std::uint32_t home = nodes_.node_of(static_cast<int>(rank));
  Node& node = *of_node_[home];
  node.plan.make(picks, node.table.places(any_layer), rank);
  for (std::uint32_t to = 0; to < nodes_.nodes(); ++to) {
    const std::uint64_t rows = node.plan.rows_to()[to], outputs = to == home ? 0 : node.plan.outputs_of()[to];
    const std::uint64_t bytes = rows * form_.bytes() + outputs * shape_.hidden * sizeof(bf16);
    (to == home ? out_.intra_node_bytes : out_.inter_node_bytes) += bytes;
    out_.rows_sent += rows, out_.outputs_sent += outputs;
  }
  out_.messages += 2 * (nodes_.nodes() - 1);
  for (const layers::SlotPlace& place : node.plan.place_of_pick()) ++of_node_[place.node]->rows_of_slot[place.slot];
}

void Count::share_work() {
  double all = 0, busiest = 0, busiest_owner = 0, busiest_node = 0, within = 0;
  for (std::uint32_t n = 0; n < nodes_.nodes(); ++n) {
    const Node& node = *of_node_[n];
    const auto ranks = static_cast<std::uint32_t>(nodes_.ranks_of(n).size());
    layers::split_node_work(node.rows_of_slot, ranks, cuts_);
    double of_node = 0, most = 0;
    for (std::uint32_t r = 0; r < ranks; ++r) {
      const auto cost = static_cast<double>(layers::cost_between(node.rows_of_slot, cuts_[r], cuts_[r + 1]));
      of_node += cost, most = std::max(most, cost);
    }
    std::vector<std::uint64_t> of_owner(ranks);
    const std::span<const std::uint32_t> owner = node.table.owner_of_slot(any_layer);
    for (std::size_t slot = 0; slot < owner.size(); ++slot)
      of_owner[owner[slot]] += layers::expert_cost(node.rows_of_slot[slot]);
    all += of_node, within += most * ranks;
    busiest = std::max(busiest, most);
    busiest_owner = std::max(busiest_owner, static_cast<double>(*std::max_element(of_owner.begin(), of_owner.end())));
    busiest_node = std::max(busiest_node, of_node / ranks);
  }
  out_.work.mean += all / layout_.ranks;
  out_.work.busiest += busiest, out_.work.busiest_owner += busiest_owner, out_.work.busiest_node += busiest_node;
  out_.work.within_node += within / layout_.ranks;
}

}  // namespace

CountedExchange count_exchange(const model::ModelConfig& config, const CountedLayout& layout,
                               const PicksOfRank& picks) {
  return Count(config, layout).run(picks);
}

}  // namespace moemill::bench
