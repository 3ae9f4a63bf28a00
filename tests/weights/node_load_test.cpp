// Ranks that load one copy of the weights together: each ends with the values that it would have loaded alone.
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/folders.hpp"
#include "support/placements.hpp"
#include "system/comm/comm.hpp"
#include "weights/cpu/weights.hpp"
#include "weights/stored_model.hpp"

using namespace moemill;
using namespace moemill::model;
using namespace moemill::test;

namespace {

bool same(const cpu::Matrix& a, const cpu::Matrix& b) {
  if (a.k != b.k || a.n != b.n || a.format != b.format || (a.data == nullptr) != (b.data == nullptr)) return false;
  return a.data == nullptr || std::memcmp(a.data, b.data, cpu::packed_bytes(a)) == 0;
}
bool same(Vector<const float> a, Vector<const float> b) {
  return a.size == b.size && (a.size == 0 || std::memcmp(a.data, b.data, a.size * sizeof(float)) == 0);
}
bool same(const MlpWeights& a, const MlpWeights& b) {
  return a.width == b.width && same(a.gate_up, b.gate_up) && same(a.down, b.down) &&
         same(a.gate_up_bias, b.gate_up_bias) && same(a.down_bias, b.down_bias);
}

void check_same(const Weights& a, const Weights& b) {
  CHECK(std::memcmp(a.embedding.data, b.embedding.data, a.embedding.rows * a.embedding.width * sizeof(bf16)) == 0);
  CHECK(same(a.head, b.head));
  CHECK(same(a.final_norm, b.final_norm));
  for (std::size_t l = 0; l < a.layers.size(); ++l) {
    const LayerWeights &x = a.layers[l], &y = b.layers[l];
    CHECK(same(x.attention_norm, y.attention_norm));
    CHECK(same(x.dense, y.dense));
    CHECK(same(x.moe.router, y.moe.router));
    CHECK(same(x.moe.shared, y.moe.shared));
    REQUIRE(x.moe.experts.size() == y.moe.experts.size());
    for (std::size_t e = 0; e < x.moe.experts.size(); ++e) CHECK(same(x.moe.experts[e], y.moe.experts[e]));
  }
  CHECK(a.digest.replicated == b.digest.replicated);
  CHECK(a.digest.experts == b.digest.experts);
  CHECK(a.digest.copies == b.digest.copies);
}

// Loads on three ranks of a node, of which the first two are one expert domain and the third another, and compares.
void check_node(const std::string& dir, Spread spread, const std::string& load_format, Arithmetic arithmetic) {
  ModelConfig c = read_config(dir);
  c.arithmetic = arithmetic;
  const std::vector<Placement> placements{placement_for(c, 2, spread), placement_for(c, 1, spread)};
  run_loopback(3, [&](Comm node) {
    const int r = node.rank();
    const Placement& placement = placements[r < 2 ? 0 : 1];
    const DomainRank rank{r % 2};
    NodeExperts held;
    for (const DomainRank first : {DomainRank{0}, DomainRank{1}}) held.add(placements[0], first);
    const NodeExperts computes = r < 2 ? held : NodeExperts(placement, rank);  // the first two work together
    held.add(placements[1], {0});
    WeightsLoad load({dir, c, placement, rank, load_format, held, computes});
    NodeMemory::Attempt shared = NodeMemory::share(node, load.memory_bytes());
    REQUIRE(shared.why_not == "");
    ThreadTeam team(1 + r % 2);
    const Weights together = load.carry_out(std::move(shared.memory), team);
    ThreadTeam alone(1);
    WeightsLoad own({dir, c, placement, rank, load_format, computes, computes});
    const Weights separate = own.carry_out(NodeMemory(own.memory_bytes(), "a test"), alone);
    check_same(together, separate);
    // The third rank holds all experts, so one copy of them is all that the node has.
    CHECK(together.bytes == weight_bytes(stored_config(dir, c, load_format), placements[1], {0}));
    node.barrier();
  });
}

}  // namespace

TEST_CASE("a node's ranks load one copy, and each finds its weights there") {
  for (const char* name : {"deepseek_v3", "deepseek_v3_fp8", "gpt_oss_mxfp4", "qwen2_moe"}) {
    CAPTURE(name);
    for (const Spread spread : {Spread::Slices, Spread::SomeTwice})
      check_node((models / name).string(), spread, "auto", Arithmetic::Bf16);
  }
  check_node((models / "gpt_oss").string(), Spread::Slices, "auto", Arithmetic::Int8);
  check_node((models / "olmoe").string(), Spread::Slices, "dummy", Arithmetic::Bf16);
}

TEST_CASE("a rank that fails while a node loads ends the loading of its mates") {
  const std::string dir = (models / "deepseek_v3").string();
  const ModelConfig c = read_config(dir);
  const Placement placement = contiguous_slices(c, 3);
  run_loopback(3, [&](Comm node) {
    NodeExperts held;
    for (int r = 0; r < 3; ++r) held.add(placement, {r});
    WeightsLoad load({dir, c, placement, {node.rank()}, "auto", held, held});
    NodeMemory::Attempt shared = NodeMemory::share(node, load.memory_bytes());
    REQUIRE(shared.memory.is_shared());
    ThreadTeam team(1);
    int calls = 0;
    const auto stop = [&] {
      ++calls;
      throw StopRequested("a stop");
    };
    try {
      load.carry_out(std::move(shared.memory), team, stop);
    } catch (const StopRequested&) {
      CHECK(calls == 1);
    }
    for (const int seen : gather(node, calls)) CHECK(seen <= 1);
    node.barrier();
  });
}
