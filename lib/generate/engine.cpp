#include "generate/engine.hpp"

#include <algorithm>
#include <exception>
#include <numeric>
#include <optional>
#include <span>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text/format.hpp"
#include "generate/load_on_nodes.hpp"
#include "layers/dispatch/domain_nodes.hpp"
#include "layers/dispatch/place_experts.hpp"
#include "layers/micro_batches.hpp"
#include "schedule/micro_batches.hpp"
#include "system/comm/agree.hpp"
#include "system/machine/host.hpp"
#include "system/machine/memory.hpp"

namespace moemill::mill {

std::uint64_t spare_memory_bytes(int ranks_on_machine, std::uint64_t shared_bytes) {
  MemorySources sources = memory_sources();
  sources.shared_bytes = shared_bytes;
  return cache_budget(memory_left(ranks_on_machine, sources).bytes, static_cast<std::uint64_t>(ranks_on_machine));
}

namespace {

// Each copy of the experts must belong to the same model: nodes may have different folders under one path.
std::string agree_on_weights(const Ranks& ranks, const model::WeightsDigest& mine, const std::string& path) {
  struct Sums {
    model::ByteSum replicated, model;
  };
  model::WeightsDigest domain;
  for (const model::WeightsDigest& rank : gather(ranks.domain, mine)) domain += rank;
  Sums here{mine.replicated, mine.replicated};
  here.model += domain.experts;
  const std::vector<Sums> all = gather(ranks.world, here);
  run_on_all_ranks(ranks.world, [&] {
    if (here.replicated != all[0].replicated || here.model != all[0].model)
      user_error("{}: has different weights here than rank 0 has read: do all nodes see the same files?", path);
    if (domain.copies != model::ByteSum())
      user_error("{}: ranks that hold the same experts have read different weights: do all nodes see the same files?",
                 path);
  });
  return all[0].model == model::ByteSum() ? "" : all[0].model.hex();
}

// Rank 0 says what the placement does in its domain. Collective.
model::Placement placed(const model::ModelConfig& config, const layers::DomainNodes& nodes, std::uint32_t redundant,
                        std::span<const std::uint64_t> loads, const Comm& world) {
  std::optional<model::Placement> placement;
  run_on_all_ranks(world, [&] { placement.emplace(layers::place_experts(config, nodes, redundant, loads)); });
  if (world.rank() != 0) return *placement;
  const std::string warning = layers::redundant_warning(nodes.nodes(), redundant);
  if (!warning.empty()) log::warning("{}", warning);
  if (nodes.nodes() > 1 && !loads.empty())
    log::info(
        "experts are placed by {} measured picks, with {} redundant a layer: the busiest of {} nodes would compute "
        "{:.3f} times the mean, {:.3f} if experts lay in slices",
        thousands(std::accumulate(loads.begin(), loads.end(), std::uint64_t{0})), redundant, nodes.nodes(),
        layers::busiest_over_mean(*placement, nodes, loads),
        layers::busiest_over_mean(model::contiguous_slices(config, nodes.ranks()), nodes, loads));
  return *placement;
}

}  // namespace

Engine::Engine(const RunConfig& config, const ModelFolder& model, const Ranks& ranks, const JobEstimate& job,
               const std::function<void()>& between, std::span<const std::uint64_t> expert_loads) {
  const ParallelSettings& parallel = config.parallel;
  const Comm& world = ranks.world;
  const layers::DomainNodes nodes(memory_of_domain(ranks, MatesShare::Yes));
  const model::Placement placement = placed(model.config, nodes, parallel.redundant_experts, expert_loads, world);
  const DomainRank rank{ranks.domain.rank()};
  run_on_all_ranks(world, [&] { backend_ = make_backend(config.runtime.backend, model.config, ranks.cores.threads); });
  // Free memory is measured after the agreement, when all ranks' weights occupy memory.
  const model::WeightsDigest digest = load_on_nodes(
      *backend_,
      {config.model.path, config.model.load_format, placement, rank, model::NodeExperts(placement, rank), {}}, ranks,
      parallel, between);
  weights_digest_ = agree_on_weights(ranks, digest, config.model.path);
  node_ranks_ = ranks.mates.size();
  longest_ = static_cast<std::uint32_t>(std::max<std::uint64_t>(job.longest_tokens, 1));
  const KvNeed need{std::min<std::uint64_t>(parallel.max_num_seqs, job.sequences), job.likely_tokens,
                    job.longest_tokens};
  // A machine may have several nodes, of different sizes.
  std::uint64_t shared_bytes = 0;
  for (const std::uint64_t node : gather(ranks.machine, ranks.mates.rank() == 0 ? backend_->memory().node_weights : 0))
    shared_bytes += node;
  run_on_all_ranks(world, [&] {
    const std::uint64_t spare = spare_memory_bytes(ranks.machine.size(), shared_bytes);
    pages_ = mill::kv_pages(model.config, parallel, need, spare);
  });
  layers::ForwardSettings settings;
  settings.max_rows = parallel.max_num_batched_tokens;
  settings.max_positions = longest_;
  settings.pages = pages_.full;
  settings.window_pages = pages_.window;
  settings.micro_batches =
      schedule::most_micro_batches(parallel.micro_batches, static_cast<std::uint32_t>(ranks.domain.size()));
  if (config.runtime.record_picks > 0 && world.rank() == 0)
    picks_ = std::make_unique<layers::PickRecord>(layers::PickRecord{.steps_left = config.runtime.record_picks});
  settings.picks = picks_.get();
  const MatesShare share = backend_->memory().node_weights > 0 ? MatesShare::Yes : MatesShare::No;
  const std::vector<int> memories = memory_of_domain(ranks, share);
  nodes_.emplace(memories);
  layers::DomainSite site = layers::join_domain(ranks.domain, memories, ranks.node_of_domain_rank,
                                                layers::exchange_shape(model.config, settings));
  run_on_all_ranks(world, [&] {
    if (site.failure) std::rethrow_exception(site.failure);
    if (!site.fault.empty())
      user_error(
          "the {} ranks on {} share their weights, but cannot share the rows of a step: {}; set "
          "parallel.node_memory to off",
          node_ranks_, host_name(), site.fault);
    backend_->prepare(std::move(site), settings);
    generator_ = std::make_unique<Generator>(
        Generator::Parts{model.config, model.tokenizer_or_null(), *backend_},
        schedule::SchedulerSettings{parallel.max_num_seqs, parallel.max_num_batched_tokens, pages_.full, longest_,
                                    pages_.window > 0 ? model.config.gqa.window : 0, pages_.window,
                                    parallel.prefix_cache != "off"},
        TextRules{config.output.store_text ? DecodeText::Yes : DecodeText::No,
                  config.output.skip_special_tokens ? text::SkipSpecial::Yes : text::SkipSpecial::No});
  });
}

MemoryUse Engine::memory_use() const {
  const BackendMemory memory = backend_->memory();
  MemoryUse use;
  const auto ranks = static_cast<std::uint64_t>(node_ranks_);
  use.rank_private_bytes = peak_rss_bytes() - memory.node_resident;
  use.node_shared_bytes = memory.node_weights + ranks * memory.node_rows;
  use.huge_page_bytes = memory.huge_pages;
  use.peak_bytes = use.rank_private_bytes + use.node_shared_bytes / ranks;
  return use;
}

}  // namespace moemill::mill
