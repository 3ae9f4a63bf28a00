// Which ranks hold which experts, and that the exchange's plan levels the nodes by these tables.
#include "layers/dispatch/place_experts.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "base/numbers/random.hpp"
#include "layers/dispatch/exchange_plan.hpp"
#include "layers/dispatch/table.hpp"
#include "layers/dispatch_support.hpp"

using namespace moemill;
using namespace moemill::layers;
using namespace moemill::test;

namespace {

model::Moe moe_of(std::uint32_t experts, std::uint32_t groups = 1, std::uint32_t kept = 1) {
  model::Moe moe;
  moe.experts = experts, moe.groups = groups, moe.groups_kept = kept;
  return moe;
}

Numbers held(const model::LayerPlacement& placement) {
  Numbers counts;
  for (std::uint32_t r = 0; r < placement.ranks(); ++r)
    counts.push_back(static_cast<std::uint32_t>(placement.slots({static_cast<std::int32_t>(r)}).size()));
  return counts;
}

// Nodes that hold the expert.
std::size_t nodes_with(const model::LayerPlacement& placement, const DomainNodes& nodes, std::int32_t expert) {
  Numbers found;
  for (const model::Holder& h : placement.holders({expert})) found.push_back(nodes.node_of(h.rank.value));
  std::sort(found.begin(), found.end());
  CHECK(std::unique(found.begin(), found.end()) == found.end());  // never two on one
  return found.size();
}

}  // namespace

TEST_CASE("place experts: slices on one node, and without redundant experts and loads") {
  const DomainNodes one(std::vector<int>{0, 0, 0}), two(std::vector<int>{0, 0, 1});
  CHECK(held(place_layer(moe_of(7), one, 5)) == Numbers{2, 2, 3});
  CHECK(held(place_layer(moe_of(7), two, 0)) == Numbers{2, 2, 3});
  CHECK(held(place_layer(moe_of(0), two, 3)) == Numbers{0, 0, 0});
  CHECK(redundant_warning(1, 2).find("no effect") != std::string::npos);
  CHECK(redundant_warning(2, 2).empty());
  CHECK(redundant_warning(1, 0).empty());
}

TEST_CASE("place experts: on nodes of any sizes, as many copies as asked for, on different nodes, whatever the loads") {
  for (const auto& memory : {std::vector<int>{0, 0, 1, 1}, {0, 1, 2, 3}, {0, 0, 0, 1}, {0, 1, 0, 1, 2}}) {
    const DomainNodes nodes(memory);
    for (const std::uint32_t redundant : {1u, 4u, 16u}) {
      std::vector<std::uint64_t> loads(16);
      for (std::uint32_t e = 0; e < 16; ++e) loads[e] = philox(9, e)[0] % 1000;
      const model::LayerPlacement even = place_layer(moe_of(16), nodes, redundant);
      const model::LayerPlacement placed = place_layer(moe_of(16), nodes, redundant, loads);
      CHECK(held(even) == held(placed));
      std::size_t copies = 0;
      for (std::int32_t e = 0; e < 16; ++e) copies += nodes_with(placed, nodes, e);
      CHECK(copies == 16 + redundant);
    }
    const auto most = static_cast<std::uint32_t>(most_redundant(moe_of(16), nodes.nodes()));
    const model::LayerPlacement everywhere = place_layer(moe_of(16), nodes, most);
    for (std::int32_t e = 0; e < 16; ++e) CHECK(nodes_with(everywhere, nodes, e) == nodes.nodes());
    CHECK_THROWS_AS(place_layer(moe_of(16), nodes, most + 1), UserError);
  }
}

TEST_CASE("place experts: nodes keep whole groups where that is level enough") {
  const DomainNodes nodes(std::vector<int>{0, 1, 2, 3});
  const model::LayerPlacement placed = place_layer(moe_of(16, 4, 2), nodes, 4);
  for (std::int32_t r = 0; r < 4; ++r) {
    Numbers of_group(4);
    for (const GlobalExpert e : placed.slots({r})) ++of_group[static_cast<std::size_t>(e.value) / 4];
    CHECK(*std::max_element(of_group.begin(), of_group.end()) == 4);
  }
}

TEST_CASE("place experts: the plans of all ranks give nodes the work that the table intends") {
  constexpr std::uint32_t experts = 256, rows = 400, k = 8;
  std::vector<int> memory(64);
  std::iota(memory.begin(), memory.end(), 0);
  const DomainNodes nodes(memory);
  // Picks by a power law of 1.01, one after the other, each of a row another expert.
  std::vector<double> until(experts);
  double all = 0;
  for (std::uint32_t e = 0; e < experts; ++e) until[e] = all += std::pow(e + 1.0, -1.01);
  std::vector<GlobalExpert> picks;
  std::vector<std::uint64_t> loads(experts);
  for (std::uint32_t r = 0; r < 64 * rows; ++r)
    for (std::uint32_t p = 0, draw = 0; p < k; ++draw) {
      const double at = philox(3, r, draw)[0] / 4294967296.0 * all;
      const auto e = static_cast<std::int32_t>(std::upper_bound(until.begin(), until.end(), at) - until.begin());
      if (std::find(picks.end() - p, picks.end(), GlobalExpert{e}) != picks.end()) continue;
      picks.push_back({e}), ++loads[static_cast<std::size_t>(e)], ++p;
    }
  const ExchangeShape shape{.hidden = 4, .picks = k, .experts = experts};
  const auto busiest = [&](const model::LayerPlacement& layer) {
    const model::Placement placement({layer});
    std::vector<double> work(64);
    for (std::uint32_t rank = 0; rank < 64; ++rank) {
      const DispatchTable table(placement, nodes, rank);
      ExchangePlan plan(shape, 64, rank, memory);
      plan.make(std::span(picks).subspan(std::size_t{rank} * rows * k, rows * k), table.places({0}), rank);
      for (const SlotPlace& place : plan.place_of_pick()) ++work[place.node];
    }
    return *std::max_element(work.begin(), work.end()) / (rows * k);
  };
  const double plain = busiest(place_layer(moe_of(experts), nodes, 0));
  const double placed = busiest(place_layer(moe_of(experts), nodes, 64, loads));
  MESSAGE("busiest of 64 nodes over the mean: ", plain, ", with 64 redundant experts by measured load ", placed);
  CHECK(plain > 4);
  CHECK(placed <= 1.10);
}
