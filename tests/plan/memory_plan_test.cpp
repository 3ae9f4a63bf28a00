// The predicted memory of a rank: KV pages of both groups, weights by rank and node, workspace.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "base/error.hpp"
#include "layers/cpu/cpu.hpp"
#include "layers/dispatch/domain_nodes.hpp"
#include "layers/dispatch/domain_site.hpp"
#include "layers/micro_batches.hpp"
#include "layers/working_set.hpp"
#include "plan/footprint.hpp"
#include "plan/kv_plan.hpp"
#include "schedule/pages.hpp"
#include "schedule/scheduler.hpp"
#include "weights/cpu/weights.hpp"

using namespace moemill;
using namespace moemill::mill;
using schedule::PageGroup;

namespace {

const std::string tiny = std::string(MOEMILL_TEST_DATA) + "/models/deepseek_v3";

// A model whose first `windowed` layers see 128 positions.
model::ModelConfig grouped(std::uint32_t layers, std::uint32_t windowed) {
  model::ModelConfig config;
  config.attention = model::AttentionKind::Grouped;
  config.layers = layers;
  config.gqa.heads = 8, config.gqa.kv_heads = 2, config.gqa.head_dim = 64;
  if (windowed == 0) return config;
  config.gqa.window = 128;
  for (std::uint32_t l = 0; l < layers; ++l) config.gqa.layer_has_window.push_back(l < windowed);
  return config;
}

ParallelSettings steps_of(std::uint32_t rows) {
  ParallelSettings settings;
  settings.max_num_batched_tokens = rows;
  return settings;
}

constexpr std::uint64_t plenty = std::uint64_t{1} << 50;
constexpr KvNeed need{100, 1000, 5000};  // sequences, likely tokens, longest tokens

}  // namespace

TEST_CASE("layers without a window hold all tokens, those with one the windows and a step's rows") {
  const KvPages full = kv_pages(grouped(4, 0), steps_of(512), need, plenty);
  CHECK(full.full == 100 * 16);
  CHECK(full.window == 0);
  CHECK(full.bytes(grouped(4, 0)) == 1600ull * 64 * 4 * 256 * 2);
  const KvPages both = kv_pages(grouped(4, 2), steps_of(512), need, plenty);
  CHECK(both.full == 1600);
  CHECK(both.window == 101 * 3 + 8);
  CHECK(both.bytes(grouped(4, 2)) == (1600ull + 311) * 64 * 2 * 256 * 2);
  CHECK(both.tokens() == 1600 * 64);
  const KvPages windowed = kv_pages(grouped(4, 4), steps_of(512), need, plenty);
  CHECK(windowed.full == 0);
  CHECK(windowed.window == 311);
  CHECK(windowed.tokens() == 311 * 64);
  // Short sequences need only as many pages as they are long.
  CHECK(kv_pages(grouped(4, 4), steps_of(512), {10, 60, 60}, plenty).window == 10);
}

TEST_CASE("what fits the longest sequence fits the scheduler, whatever the window") {
  for (std::uint32_t tokens : {1u, 64u, 65u, 300u, 5000u}) {
    CAPTURE(tokens);
    const model::ModelConfig config = grouped(4, 2);
    const KvPages least = least_kv_pages(config, tokens);
    const schedule::Scheduler scheduler({.max_num_seqs = 4,
                                         .max_num_batched_tokens = 64,
                                         .pages = least.full,
                                         .max_model_len = 6000,
                                         .window = config.gqa.window,
                                         .window_pages = least.window});
    for (std::uint32_t prompt = 1; prompt <= tokens; prompt += 1 + tokens / 7)
      for (std::uint32_t samples : {1u, 2u, 50u}) CHECK(scheduler.fits(prompt, tokens - prompt, samples));
  }
}

TEST_CASE("little memory is shared by both groups, in proportion above one long sequence") {
  const model::ModelConfig config = grouped(4, 2);
  const KvPages most = kv_pages(config, steps_of(512), need, plenty), least = least_kv_pages(config, 1000);
  std::uint64_t before = 0;
  for (int step = 0; step <= 10; ++step) {
    const std::uint64_t low = least.bytes(config), high = most.bytes(config);
    const std::uint64_t spare = low + (high - low) * static_cast<std::uint64_t>(step) / 10;
    const KvPages pages = kv_pages(config, steps_of(512), need, spare);
    CHECK(pages.bytes(config) <= spare);
    CHECK(pages.bytes(config) + 2 * 64 * 4 * 256 * 2 >= spare);  // up to one page of each group
    CHECK(pages.full >= least.full);
    CHECK(pages.window >= least.window);
    CHECK(pages.bytes(config) >= before);
    before = pages.bytes(config);
  }
  CHECK_THROWS_AS(kv_pages(config, steps_of(512), need, least.bytes(config) - 1), UserError);
}

TEST_CASE("kv_cache_tokens says how many tokens layers hold; windows take no more than they can use") {
  ParallelSettings settings = steps_of(512);
  settings.kv_cache_tokens = 100'000;
  CHECK(kv_pages(grouped(4, 2), settings, need, 0).full == 1563);
  CHECK(kv_pages(grouped(4, 2), settings, need, 0).window == 311);
  CHECK(kv_pages(grouped(4, 4), settings, need, 0).full == 0);
  settings.kv_cache_tokens = 640;
  CHECK(kv_pages(grouped(4, 2), settings, need, 0).full == 10);
  CHECK(kv_pages(grouped(4, 2), settings, need, 0).window == 10);
  settings.kv_cache_tokens = std::uint64_t{1} << 33;
  CHECK_THROWS_AS(kv_pages(grouped(4, 2), settings, need, 0), UserError);
}

TEST_CASE("the weights of ranks and nodes, also where ranks and experts do not divide") {
  const model::ModelConfig config = model::read_config(tiny);
  const std::uint32_t experts = config.moe.experts;
  ParallelSettings settings;
  settings.node_memory = "off";
  for (const char* domain : {"world", "node"}) {
    settings.expert_domain = domain;
    for (std::uint32_t ranks : {1u, 2u, 3u, experts, experts + 3}) {
      CAPTURE(domain);
      CAPTURE(ranks);
      const JobShape shape = shape_of(settings, nodes_in_a_row(ranks, 2));
      const WeightShare share = weight_share(config, shape);
      std::uint64_t most = 0, node = 0, largest_node = 0;
      std::uint32_t without = 0;
      for (std::uint32_t r = 0; r < ranks; ++r) {
        const model::Placement placement = model::contiguous_slices(config, shape.domain_size[r]);
        const DomainRank place{static_cast<std::int32_t>(shape.domain_rank[r])};
        const std::uint64_t bytes = model::weight_bytes(config, placement, place);
        most = std::max(most, bytes);
        node = (r % 2 == 0 ? 0 : node) + bytes;
        largest_node = std::max(largest_node, node);
        without += placement.layer({static_cast<std::int32_t>(config.layers) - 1}).slots(place).empty();
      }
      CHECK(share.rank_bytes == most);
      CHECK(share.node_bytes == largest_node);
      CHECK(share.ranks_without_experts == without);
      CHECK(share.replicated_bytes < most);
    }
  }
  settings.expert_domain = "world";
  CHECK(weight_share(config, shape_of(settings, nodes_in_a_row(experts + 3, 1))).ranks_without_experts == 3);
  // Redundant experts count where they lie: with one of each, two nodes hold all experts. One node has no use for them.
  for (const char* memory : {"off", "auto"}) {
    settings.node_memory = memory, settings.redundant_experts = experts;
    const std::uint64_t all = model::weight_bytes(config, model::contiguous_slices(config, 1), {0});
    CHECK(weight_share(config, shape_of(settings, nodes_in_a_row(2, 1))).node_bytes == all);
    settings.redundant_experts = 1;
    const std::uint64_t one_more = weight_share(config, shape_of(settings, nodes_in_a_row(2, 1))).rank_bytes;
    settings.redundant_experts = 0;
    const std::uint64_t plain = weight_share(config, shape_of(settings, nodes_in_a_row(2, 1))).rank_bytes;
    CHECK((experts % 2 == 0 ? one_more > plain : one_more == plain));
    settings.redundant_experts = experts + 1;
    CHECK_THROWS_AS(weight_share(config, shape_of(settings, nodes_in_a_row(2, 1))), UserError);
  }
  settings.node_memory = "auto", settings.redundant_experts = 5;
  CHECK(shape_of(settings, nodes_in_a_row(2, 2)).warning.find("no effect") != std::string::npos);
  CHECK(shape_of(settings, nodes_in_a_row(2, 1)).warning.empty());
  settings.node_memory = "off", settings.redundant_experts = 0;
  CHECK(shape_of(settings, nodes_in_a_row(7, 3)).nodes() == 3);
  const std::vector<int> uneven{0, 1, 1, 1, 2};
  CHECK(shape_of(settings, uneven).nodes() == 3);
  CHECK(shape_of(settings, uneven).ranks_per_node == 3);
  settings.expert_domain = "4";
  CHECK_THROWS_AS(shape_of(settings, nodes_in_a_row(6, 2)), UserError);
}

TEST_CASE("what the ranks of a node have in common counts once") {
  const model::ModelConfig config = model::read_config(tiny);
  const std::uint64_t all = model::weight_bytes(config, model::contiguous_slices(config, 1), {0});
  ParallelSettings settings, off;
  off.node_memory = "off";
  for (const char* domain : {"1", "2", "world", "node"}) {
    CAPTURE(domain);
    settings.expert_domain = off.expert_domain = domain;
    const WeightShare once = weight_share(config, shape_of(settings, nodes_in_a_row(4, 4)));
    CHECK(once.node_bytes == all);  // every layout of one node holds all experts
    CHECK(once.shared_bytes == all);
    const WeightShare each = weight_share(config, shape_of(off, nodes_in_a_row(4, 4)));
    CHECK(each.node_bytes > all);
    CHECK(each.shared_bytes == 0);
    CHECK(each.rank_bytes == once.rank_bytes);
  }
  // Two nodes of one domain: half of the experts each.
  settings.expert_domain = "world";
  const WeightShare half = weight_share(config, shape_of(settings, nodes_in_a_row(4, 2)));
  CHECK(half.node_bytes == model::weight_bytes(config, model::contiguous_slices(config, 2), {0}));
  // A rank alone on its node shares with nobody.
  CHECK(weight_share(config, shape_of(settings, nodes_in_a_row(4, 1))).shared_bytes == 0);
}

namespace {

// A full step of consecutive prompts, each one page long.
schedule::Step full_step(std::uint32_t rows, std::uint32_t vocabulary, int rank) {
  schedule::Step step;
  std::minstd_rand draw(static_cast<unsigned>(rank + 1));
  for (std::uint32_t r = 0; r < rows; ++r) {
    if (r % 64 == 0) {
      step.segments.push_back({schedule::RowKind::Prompt, r, std::min(64u, rows - r), 0, r / 64, 1});
      step.pages[0].push_back(PageId{static_cast<std::int32_t>(r / 64)});
    }
    step.tokens.push_back(static_cast<TokenId>(draw() % vocabulary));
    step.positions.push_back(r % 64);
  }
  return step;
}

// The most that a rank's buffers take, after full steps with each number of micro-batches; collective.
double workspace_taken(Comm world, const model::ModelConfig& config, const std::vector<int>& memory, std::uint32_t rows,
                       std::uint32_t threads) {
  const model::Placement placement = model::contiguous_slices(config, static_cast<std::uint32_t>(world.size()));
  const layers::DomainNodes nodes(memory);
  const model::NodeExperts held = layers::experts_of(placement, nodes.ranks_of(nodes.node_of(world.rank())));
  model::WeightsLoad load({tiny, config, placement, {world.rank()}, "dummy", held, held});
  ThreadTeam team(1);
  const model::Weights weights = load.carry_out(NodeMemory(load.memory_bytes(), "a test"), team);
  cpu::Stream stream(cpu::best_isa(), static_cast<int>(threads));
  const layers::ForwardSettings settings{.max_rows = rows,
                                         .max_positions = config.max_positions,
                                         .pages = schedule::pages_for(rows),
                                         .micro_batches = world.size() > 1 ? 2u : 1u};
  layers::Forward<Cpu> forward(stream, config, weights, placement,
                               layers::join_domain(world, memory, memory, layers::exchange_shape(config, settings)),
                               settings);
  schedule::Step step = full_step(rows, config.vocabulary, world.rank());
  for (step.micro_batches = 1; step.micro_batches <= settings.micro_batches; ++step.micro_batches) forward.run(step);
  const std::vector<std::uint64_t> taken = gather(world, forward.workspace_bytes());
  return static_cast<double>(*std::max_element(taken.begin(), taken.end()));
}

void check_workspace(const model::ModelConfig& config, std::uint32_t threads) {
  // Alone, on a node each, on two nodes of two, and on nodes of three and one, which receives from three.
  for (const std::vector<int>& memory : {std::vector{0}, {0, 1, 2}, {0, 0, 1, 1}, {0, 0, 0, 1}}) {
    for (std::uint32_t rows : {64u, 512u, 3000u}) {
      CAPTURE(rows);
      CAPTURE(memory.size());
      CAPTURE(memory.back());
      ParallelSettings settings = steps_of(rows);
      settings.threads_per_rank = threads;
      const layers::DomainNodes nodes(memory);
      const double told =
          static_cast<double>(workspace_bytes(config, settings, {nodes.ranks(), nodes.nodes(), nodes.most_senders()}));
      run_loopback(static_cast<int>(memory.size()), [&](Comm world) {
        const double taken = workspace_taken(world, config, memory, rows, threads);
        CHECK(told > 0.8 * taken);
        CHECK(told < 1.25 * taken);
      });
    }
  }
}

}  // namespace

TEST_CASE("the workspace predicted is the workspace taken") {
  model::ModelConfig config = model::read_config(tiny);
  check_workspace(config, 1);
  // Here a dense MLP takes the most for gate and up, and the experts take the most for down, of the same scratch.
  config.dense_width = 4096, config.moe.expert_width = 16;
  check_workspace(config, 4);
}

TEST_CASE("products take no more scratch memory of a thread than is counted") {
  model::ModelConfig config;
  config.hidden = 3000, config.dense_width = 8000;
  ParallelSettings settings;
  settings.threads_per_rank = 1;
  const std::uint64_t told = scratch_bytes(config, settings);
  cpu::Stream stream;
  std::byte& behind = stream.scratch(0, told + 64)[told];  // memory that grows is zeroed
  behind = std::byte{1};
  for (std::uint32_t k : {3000u, 8000u}) {
    std::vector<std::byte> packed(cpu::packed_bytes({nullptr, k, 8}) + 64);
    for (std::size_t rows : {std::size_t{31}, std::size_t{168}, std::size_t{500}}) {
      const cpu::Matrix w{packed.data(), k, 8, cpu::Format::Bf16, 0, 0, stream.order()};
      const std::vector<float> a(rows * k);
      std::vector<float> c(rows * w.n);
      cpu::gemm(stream, Rows<const float>(a.data(), rows, k), w, Rows<float>(c.data(), rows, w.n));
    }
  }
  CHECK(stream.scratch(0, 1)[told] == std::byte{1});
  settings.threads_per_rank = 16;
  CHECK(scratch_bytes(config, settings) == 16 * told);
  CHECK(told > 1 << 20);
}

TEST_CASE("each buffer of an MLP's scratch is as large as its largest user") {
  using layers::MlpScratchSize;
  auto size = MlpScratchSize::of_mlp({8192, 4096, 64}, 512);
  CHECK(size.bytes() == 128 * (4 * 8208 + 2 * 4096 + 4 * 80));  // fp32 rows lie 16 values further apart
  const auto experts = MlpScratchSize::of_experts({48, 16, 64}, 100'000, 2);
  CHECK(experts.down == 2 * 2340 * 80);
  size.cover(experts);
  CHECK(size.gate_up == 128 * 8208);
  CHECK(size.down == experts.down);
  CHECK(MlpScratchSize::of_experts({48, 16, 64}, 10, 2).down == 800);  // never more rows than there are
}
