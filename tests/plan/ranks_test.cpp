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
