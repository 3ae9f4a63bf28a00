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
  using Domains = std::vector<int>;
  const std::vector<int> blocks{0, 0, 0, 1, 1, 1}, turns{0, 1, 0, 1, 0, 1}, uneven{0, 0, 0, 1};
  CHECK(domains_of_ranks("world", blocks) == Domains(6, 0));
  CHECK(domains_of_ranks("node", turns) == turns);
  CHECK(domains_of_ranks("3", blocks) == blocks);
  CHECK(domains_of_ranks("3", turns) == turns);  // by where ranks are, not by their numbers
  CHECK(domains_of_ranks("2", turns) == Domains{0, 1, 0, 2, 1, 2});
  CHECK(domains_of_ranks("1", uneven) == Domains{0, 1, 2, 3});
  for (const char* size : {"4", "12", "0"}) CHECK_THROWS_AS(domains_of_ranks(size, blocks), UserError);
  CHECK_THROWS_AS(domains_of_ranks("auto", blocks), ContractViolation);  // choose_domain() knows what it stands for
}

TEST_CASE("domains that cut nodes are named; those of whole nodes, or within a node, are not") {
  const std::vector<int> blocks{0, 0, 0, 1, 1, 1}, uneven{0, 0, 0, 1}, three{0, 0, 1, 1, 2, 2};
  const auto warning = [](const std::string& domain, const std::vector<int>& nodes) {
    return cut_nodes_warning(domain, nodes, domains_of_ranks(domain, nodes));
  };
  for (const char* domain : {"world", "node", "3", "1"}) CHECK(warning(domain, blocks).empty());
  CHECK(warning("2", uneven).find("1 of 2 domains") != std::string::npos);
  CHECK(warning("2", uneven).find("1 of 3 and 1 of 1 ranks of 2 nodes") != std::string::npos);
  CHECK(warning("3", three).find("2 of 2 domains") != std::string::npos);
  CHECK(warning("3", three).find("2 of 2 and 1 of 2 ranks of 2 nodes") != std::string::npos);
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
    CHECK(ranks.domains == 1);
    CHECK(ranks.node_of_domain_rank == std::vector<int>{0, 0, 1, 1, 2, 2});
    CHECK(ranks.node_of_rank == std::vector<int>{0, 0, 1, 1, 2, 2});
    spread_experts(ranks, "2");  // what auto, which was the world at first, turned out to be
    CHECK(ranks.domain.size() == 2);
    CHECK(ranks.domains == 3);
    CHECK(ranks.node_of_domain_rank == std::vector<int>(2, world.rank() / 2));
    settings.expert_domain = "node";
    ranks = arrange_ranks(world, settings);
    CHECK(ranks.domain.size() == 2);
    CHECK(ranks.domain.rank() == world.rank() % 2);
    CHECK(ranks.domains == 3);
    settings.expert_domain = "3";
    ranks = arrange_ranks(world, settings);
    CHECK(ranks.domain.size() == 3);
    settings.expert_domain = "4";
    CHECK_THROWS_AS(arrange_ranks(world, settings), AgreedFailure);
  });
}
