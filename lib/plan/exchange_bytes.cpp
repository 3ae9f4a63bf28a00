#include "plan/exchange_bytes.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "base/ids.hpp"
#include "base/numbers/bf16.hpp"
#include "layers/dispatch/domain_nodes.hpp"
#include "layers/dispatch/exchange_plan.hpp"
#include "layers/dispatch/place_experts.hpp"
#include "layers/dispatch/table.hpp"
#include "layers/micro_batches.hpp"
#include "model/placement.hpp"

namespace moemill::mill {
namespace {

// Rows that are planned, over all nodes, and the fewest of one. The same ones are planned on each node, so that what
// one node keeps leaves another, and the mean is within 1 % or so of that of all rows.
constexpr std::uint32_t rows_planned = 65'536, fewest_rows = 64;

// Picks of a router that prefers none: the groups that a row keeps, then experts of these, each with equal chances.
class EvenPicks {
 public:
  explicit EvenPicks(const model::Moe& moe) : moe_(moe), group_(moe.groups) {
    std::iota(group_.begin(), group_.end(), 0u);
  }

  // picks: [rows, picks]
  void draw(std::vector<GlobalExpert>& picks) {
    const std::uint32_t in_group = moe_.experts / moe_.groups;
    for (std::size_t first = 0; first < picks.size(); first += moe_.picks) {
      shuffle_first(group_, moe_.groups_kept);
      expert_.clear();
      for (std::uint32_t g = 0; g < moe_.groups_kept; ++g)
        for (std::uint32_t e = 0; e < in_group; ++e) expert_.push_back(group_[g] * in_group + e);
      shuffle_first(expert_, moe_.picks);
      for (std::uint32_t k = 0; k < moe_.picks; ++k)
        picks[first + k] = GlobalExpert{static_cast<std::int32_t>(expert_[k])};
    }
  }

 private:
  // Draws the first `count` of the values, without the library's distributions, which differ from one to another.
  void shuffle_first(std::vector<std::uint32_t>& values, std::uint32_t count) {
    for (std::size_t i = 0; i < count; ++i) std::swap(values[i], values[i + words_() % (values.size() - i)]);
  }

  const model::Moe& moe_;
  std::vector<std::uint32_t> group_, expert_;
  std::minstd_rand words_{1};
};

// [nodes of the domain] the machine that each lies on: where ranks share no memory, a rank is a node to the exchange.
struct DomainPlaces {
  std::vector<int> memory_of_rank, machine_of_node;
};

DomainPlaces places_of(const JobShape& shape) {
  DomainPlaces places;
  for (std::uint32_t r = 0; r < shape.ranks; ++r) {
    if (shape.domain[r] != shape.domain[0]) continue;
    const int memory = shape.copies == Copies::OneANode ? shape.node[r] : static_cast<int>(r);
    const bool is_new = places.memory_of_rank.empty() || places.memory_of_rank.back() != memory;
    places.memory_of_rank.push_back(memory);
    if (is_new) places.machine_of_node.push_back(shape.node[r]);
  }
  return places;
}

}  // namespace

double bytes_between_nodes(const model::ModelConfig& config, const JobShape& shape) {
  const DomainPlaces places = places_of(shape);
  const auto moe_layers = std::count(config.layer_is_moe.begin(), config.layer_is_moe.end(), true);
  if (moe_layers == 0 || places.machine_of_node.front() == places.machine_of_node.back()) return 0;
  const layers::DomainNodes nodes(places.memory_of_rank);
  const model::Placement placement({layers::place_layer(config.moe, nodes, shape.redundant_experts)});
  const std::uint32_t rows = std::max(fewest_rows, rows_planned / nodes.nodes());
  const layers::ExchangeShape exchange = layers::exchange_shape(config, {.max_rows = rows});
  const layers::RecordForm form(exchange.hidden, exchange.picks, exchange.sum());
  std::vector<GlobalExpert> picks(std::size_t{rows} * exchange.picks);
  EvenPicks(config.moe).draw(picks);
  double bytes = 0;
  for (std::uint32_t home = 0; home < nodes.nodes(); ++home) {
    const layers::DispatchTable table(placement, nodes, home);
    layers::ExchangePlan plan(exchange, nodes.nodes(), home, places.machine_of_node);
    plan.make(picks, table.places(LayerId{0}), home);
    std::uint64_t sent = 0;
    for (std::uint32_t to = 0; to < nodes.nodes(); ++to)
      if (places.machine_of_node[to] != places.machine_of_node[home])
        sent += plan.rows_to()[to] * form.bytes() + plan.outputs_of()[to] * exchange.hidden * sizeof(bf16);
    bytes += static_cast<double>(sent) * static_cast<double>(nodes.ranks_of(home).size());
  }
  return bytes / rows / nodes.ranks() * static_cast<double>(moe_layers);
}

}  // namespace moemill::mill
