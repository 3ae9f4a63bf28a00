// What parallel.expert_domain: auto stands for, and the bytes between nodes that it tells.
#include "plan/expert_domain.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "layers/dispatch/records.hpp"
#include "plan/exchange_bytes.hpp"
#include "plan/footprint.hpp"
#include "support.hpp"

using namespace moemill;
using namespace moemill::mill;
using moemill::test::says;
using Reason = DomainChoice::Reason;

namespace {

constexpr std::uint64_t roomy = std::uint64_t{1} << 40;

// A model of 12 experts, 3 of them picked, which take most of its memory: about 900 MB.
struct SpreadJob {
  model::ModelConfig model = model::read_config(std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3");
  ParallelSettings parallel;
  std::vector<int> nodes = nodes_in_a_row(8, 2);
  std::uint64_t sequences = 100'000, tokens = 300;

  SpreadJob() {
    model.moe.expert_width = 1 << 16;
    parallel.max_num_batched_tokens = 16, parallel.threads_per_rank = 1;
  }
  DomainChoice with(std::uint64_t node_bytes) const {
    return choose_domain({model, parallel, nodes, sequences, tokens, node_bytes, 1 << 25});
  }
};

std::vector<std::uint32_t> layout_nodes(const DomainChoice& choice) {
  std::vector<std::uint32_t> nodes;
  for (const DomainLayout& layout : choice.layouts) nodes.push_back(layout.nodes);
  return nodes;
}

}  // namespace

TEST_CASE("one node has no choice") {
  SpreadJob job;
  job.nodes = nodes_in_a_row(4, 4);
  const DomainChoice choice = job.with(1);  // whatever its memory: the run says what is short
  CHECK(choice.reason == Reason::OneNode);
  CHECK(choice.setting == "world");
  CHECK(choice.layouts.empty());
  CHECK(layout_lines(choice).empty());
}

TEST_CASE("each node holds a copy where it has room and rows enough") {
  const DomainChoice choice = SpreadJob().with(roomy);
  CHECK(choice.reason == Reason::EnoughRows);
  CHECK(choice.setting == "node");
  REQUIRE(layout_nodes(choice) == std::vector<std::uint32_t>{1, 4});
  const DomainLayout &one = choice.layouts[0], &all = choice.layouts[1];
  CHECK(one.rows_an_expert == 2 * 256 * 3 / 12.0);  // ranks, sequences of a rank, picks, experts
  CHECK(all.rows_an_expert == 4 * one.rows_an_expert);
  CHECK(one.sequences == 8 * 256);
  CHECK(one.bytes_between == 0);
  CHECK(all.bytes_between > 0);
  CHECK(says(reason_text(choice), {"one node holds a copy", "128 rows a step (16 are enough)"}));
  const std::vector<std::string> lines = layout_lines(choice);
  CHECK(says(lines[0],
             {"one node", " 0 bytes a token between nodes", "128 rows an expert", "2,048 sequences at a time"}));
  CHECK(says(lines[1], {"all 4 nodes", "about ", "512 rows an expert", "2,048 sequences at a time"}));
}

TEST_CASE("as many nodes hold a copy together as have room for it") {
  SpreadJob job;
  const std::uint64_t needed = job.with(roomy).layouts[0].node_bytes;
  const DomainChoice choice = job.with(needed / 4 * 3);
  CHECK(choice.reason == Reason::EnoughRows);
  CHECK(choice.setting == "4");  // ranks
  CHECK(choice.nodes == 2);
  REQUIRE(layout_nodes(choice) == std::vector<std::uint32_t>{1, 2, 4});
  CHECK_FALSE(choice.layouts[0].fits);
  CHECK(choice.layouts[0].memory == needed / 4 * 3);
  CHECK(says(layout_lines(choice)[0], {"one node", "no room", "a node are needed, more than"}));
  CHECK(says(reason_text(choice), {"2 of 4 nodes are the fewest"}));
  // Every rank on its own node: a node is a rank, and two share nothing.
  job.nodes = nodes_in_a_row(4, 1);
  CHECK(job.with(roomy).setting == "node");
}

TEST_CASE("as many nodes step together as bring an expert enough rows, or most") {
  SpreadJob job;
  job.parallel.max_num_seqs = 16;  // 8 rows an expert on a node
  CHECK(job.with(roomy).setting == "4");
  job.parallel.max_num_seqs = 4;
  DomainChoice choice = job.with(roomy);
  CHECK(choice.reason == Reason::MostRows);
  CHECK(choice.setting == "world");
  CHECK(choice.layouts.back().rows_an_expert == 8);
  CHECK(says(reason_text(choice), {"no layout that fits brings an expert 16 rows", "all 4 nodes bring most, 8"}));
  job.nodes = nodes_in_a_row(4, 2);
  CHECK(says(reason_text(job.with(roomy)), {"both nodes bring most, 4"}));
}

TEST_CASE("a few prompts are not spread over nodes, because hardly two of them meet at an expert") {
  SpreadJob job;
  job.sequences = 3;
  const DomainChoice choice = job.with(roomy);
  CHECK(choice.reason == Reason::FewRows);
  CHECK(choice.setting == "node");
  CHECK(choice.layouts.back().sequences == 3);  // though each of 8 ranks has room for one
  CHECK(choice.layouts.back().rows_an_expert == 0.75);
  job.sequences = 4;
  CHECK(job.with(roomy).setting == "world");
}

TEST_CASE("a layout that runs fewer sequences is not taken for a few prompts") {
  SpreadJob job;
  job.model.moe.experts = 1200, job.model.moe.expert_width = 600;  // rows an expert are always few
  job.parallel.max_num_seqs = 20, job.tokens = 1 << 22;
  const std::uint64_t needed = job.with(roomy).layouts[0].node_bytes;
  const DomainChoice choice = job.with(needed / 4 * 3);
  REQUIRE(choice.layouts[0].fits);
  CHECK(choice.reason == Reason::FewRows);
  CHECK(choice.layouts[0].sequences < choice.layouts.back().sequences);
  CHECK(choice.nodes > 1);
}

TEST_CASE("nodes of different sizes are all one domain, or each its own") {
  SpreadJob job;
  job.nodes = {0, 0, 0, 1, 2, 2, 3, 3};
  CHECK(layout_nodes(job.with(roomy)) == std::vector<std::uint32_t>{1, 4});
  CHECK(job.with(roomy).setting == "node");
  CHECK(job.with(roomy).layouts[0].rows_an_expert == 256 * (3 * 3 + 1 + 2 * 2 + 2 * 2) / 8.0 * 3 / 12);
  const std::uint64_t needed = job.with(roomy).layouts[0].node_bytes;
  CHECK(job.with(needed / 4 * 3).setting == "world");
}

TEST_CASE("with node_memory off, what every rank uses counts for each of them") {
  SpreadJob job;
  job.parallel.node_memory = "off";
  const DomainChoice off = job.with(roomy);
  job.parallel.node_memory = "auto";
  const DomainChoice on = job.with(roomy);
  CHECK(off.setting == "node");
  CHECK(off.layouts[0].node_bytes > on.layouts[0].node_bytes);
  // A row goes to every rank of another node that computes picks of it, not once to the node.
  CHECK(off.layouts[1].bytes_between > on.layouts[1].bytes_between);
  CHECK(off.layouts[0].bytes_between == 0);  // what ranks of a node send each other stays on it
}

TEST_CASE("where nothing fits, the layout that needs least is named") {
  const DomainChoice choice = SpreadJob().with(1000);
  CHECK(choice.reason == Reason::NoRoom);
  CHECK(choice.setting == "world");
  for (const DomainLayout& layout : choice.layouts) CHECK_FALSE(layout.fits);
  CHECK(says(reason_text(choice), {"no layout fits", "all 4 nodes need least"}));
}

TEST_CASE("an explicit cache limits the sequences, and refuses nothing") {
  SpreadJob job;
  job.parallel.kv_cache_tokens = 640;
  CHECK(job.with(roomy).layouts[0].sequences == 8 * 2);  // of 5 pages, in 10
  job.parallel.kv_cache_tokens = 64;  // less than a sequence: validate refuses it, a run may not need it
  CHECK(job.with(roomy).layouts[0].sequences == 8);
}

TEST_CASE("a model without routed experts needs no nodes in step") {
  SpreadJob job;
  job.model.layer_is_moe.assign(job.model.layers, false);
  job.model.moe = {};
  const DomainChoice choice = job.with(roomy);
  CHECK(choice.reason == Reason::NoExperts);
  CHECK(choice.setting == "node");
}

TEST_CASE("the bytes between nodes are those of even picks") {
  SpreadJob job;
  ParallelSettings world;
  world.expert_domain = "world";
  const JobShape shape = shape_of(world, nodes_in_a_row(4, 2));
  const double k = 3, row = 2.0 * job.model.hidden, layers = 2;
  // Without groups, 3 of 12 experts: all of them are here in 20 of 220 draws.
  job.model.moe.groups = job.model.moe.groups_kept = 1;
  job.model.expert_sum = ExpertSum::Picks;
  const double record = static_cast<double>(layers::RecordForm(job.model.hidden, 3).bytes());
  const double picks = layers * ((1 - 20.0 / 220) * record + k / 2 * row);
  CHECK(bytes_between_nodes(job.model, shape) == doctest::Approx(picks).epsilon(0.02));
  CHECK(bytes_between_nodes(job.model, shape) == bytes_between_nodes(job.model, shape));
  // 2 of 4 groups of 3 experts are kept: one pick in one and two in the other, or all in one of them. Two groups are
  // here and two there, so a row has none there if both kept are here (1/6), or if all picks are in the one that is.
  job.model.moe.groups = 4, job.model.moe.groups_kept = 2;
  const double both = 1.0 / 6, apart = 4.0 / 6, in_one = 1.0 / 20;
  const double none_there = both + apart * in_one;
  const double form = static_cast<double>(layers::RecordForm(job.model.hidden, 3).bytes());
  CHECK(bytes_between_nodes(job.model, shape) ==
        doctest::Approx(layers * ((1 - none_there) * form + k / 2 * row)).epsilon(0.02));
  // By groups, one output comes home from each group there that has picks.
  job.model.expert_sum = ExpertSum::Groups;
  const double sums = both * (2 - 2 * in_one) + apart * (1 - in_one);
  const double longer = static_cast<double>(layers::RecordForm(job.model.hidden, 3, ExpertSum::Groups).bytes());
  CHECK(bytes_between_nodes(job.model, shape) ==
        doctest::Approx(layers * ((1 - none_there) * longer + sums * row)).epsilon(0.02));
}
