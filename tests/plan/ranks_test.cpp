// Which ranks hold one copy of the experts together, and which share a node.
#include "plan/ranks.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "base/error.hpp"
#include "system/comm/agree.hpp"
#include "system/comm/comm.hpp"

using namespace moemill;
using namespace moemill::mill;

TEST_CASE("expert domains: world, node, or a number that divides") {
  CHECK(domain_of("world", 5, 6, 2) == 0);
  CHECK(domain_of("node", 5, 6, 2) == 2);
  CHECK(domain_of("3", 2, 6, 0) == 0);
  CHECK(domain_of("3", 3, 6, 0) == 1);
  CHECK_THROWS_AS(domain_of("4", 0, 6, 0), UserError);
  CHECK_THROWS_AS(domain_of("12", 0, 6, 0), UserError);
}

TEST_CASE("nodes are machines, cut further by ranks_per_node and never joined") {
  using Nodes = std::vector<int>;
  const std::vector<int> blocks{0, 0, 0, 3, 3, 3}, turns{0, 1, 0, 1, 0, 1};
  CHECK(nodes_of_ranks(blocks, std::nullopt) == Nodes{0, 0, 0, 1, 1, 1});
  CHECK(nodes_of_ranks(turns, std::nullopt) == Nodes{0, 1, 0, 1, 0, 1});
  CHECK(nodes_of_ranks(blocks, 2) == Nodes{0, 0, 1, 2, 2, 3});
  CHECK(nodes_of_ranks(turns, 2) == Nodes{0, 1, 0, 1, 2, 3});
  CHECK(nodes_of_ranks(blocks, 4) == Nodes{0, 0, 0, 1, 1, 1});
  CHECK(nodes_of_ranks(blocks, 1) == Nodes{0, 1, 2, 3, 4, 5});
}

TEST_CASE("the ranks of a node hold one copy of the weights, unless node_memory is off") {
  run_loopback(5, [](Comm world) {
    ParallelSettings settings;
    CHECK(arrange_ranks(world, settings).mates.size() == 5);
    settings.ranks_per_node = 3;
    settings.expert_domain = "1";
    const Ranks cut = arrange_ranks(world, settings);
    CHECK(cut.mates.size() == (world.rank() < 3 ? 3 : 2));
    CHECK(cut.mates.rank() == world.rank() % 3);
    settings.node_memory = "off";
    CHECK(arrange_ranks(world, settings).mates.size() == 1);
  });
}

TEST_CASE("ranks arrange themselves: domains and nodes") {
  run_loopback(6, [](Comm world) {
    ParallelSettings settings;
    settings.ranks_per_node = 2;
    Ranks ranks = arrange_ranks(world, settings);
    CHECK(ranks.nodes == 3);
    CHECK(ranks.domain.size() == 6);
    CHECK(ranks.node_of_domain_rank == std::vector<int>{0, 0, 1, 1, 2, 2});
    settings.expert_domain = "node";
    ranks = arrange_ranks(world, settings);
    CHECK(ranks.domain.size() == 2);
    CHECK(ranks.domain.rank() == world.rank() % 2);
    settings.expert_domain = "3";
    ranks = arrange_ranks(world, settings);
    CHECK(ranks.domain.size() == 3);
    settings.expert_domain = "4";
    CHECK_THROWS_AS(arrange_ranks(world, settings), AgreedFailure);
  });
}
