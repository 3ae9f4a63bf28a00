#include "mill/engine.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/error.hpp"
#include "base/log.hpp"
#include "mill/agree.hpp"
#include "mill/memory.hpp"

namespace moemill::mill {

cpu::Isa chosen_isa() {
  const char* name = std::getenv("MOEMILL_ISA");
  return name && *name ? cpu::parse_isa(name) : cpu::best_isa();
}

std::uint64_t spare_memory_bytes(int ranks_sharing_memory) {
  return available_memory_bytes() / 5 * 4 / static_cast<std::uint64_t>(ranks_sharing_memory);
}

// A token's place in the cache is 32 bits: 2^26 pages of 64 tokens.
constexpr std::uint64_t most_pages = (std::uint64_t{1} << 26) - 1;

std::uint32_t kv_pages(const model::ModelConfig& config, const ParallelSettings& settings, const KvNeed& need,
                       std::uint64_t spare_bytes) {
  if (settings.kv_cache_tokens) {
    if (*settings.kv_cache_tokens > most_pages * schedule::page_tokens)
      user_error("parallel.kv_cache_tokens is {}; a rank can hold at most {}", *settings.kv_cache_tokens,
                 most_pages * schedule::page_tokens);
    const std::uint32_t pages = schedule::pages_for(*settings.kv_cache_tokens);
    if (pages < schedule::pages_for(need.likely_tokens))
      log::warning("parallel.kv_cache_tokens {} may be too little for the longest sequence, about {} tokens",
                   *settings.kv_cache_tokens, need.likely_tokens);
    return pages;
  }
  const std::uint64_t useful =
      std::max<std::uint64_t>(std::uint64_t{schedule::pages_for(need.likely_tokens)} * need.sequences,
                              schedule::pages_for(need.longest_tokens));
  const std::uint64_t page_bytes = std::max<std::uint64_t>(layers::page_bytes(config, schedule::PageGroup::Full), 1);
  const std::uint64_t affordable = spare_bytes / page_bytes;
  if (affordable < schedule::pages_for(need.likely_tokens))
    user_error(
        "the KV cache of one sequence of {} tokens takes {}, but only {} of memory are free for a rank; use fewer "
        "ranks "
        "a machine, or lower max_tokens or model.max_model_len",
        need.likely_tokens, gib(schedule::pages_for(need.likely_tokens) * page_bytes), gib(spare_bytes));
  return static_cast<std::uint32_t>(std::min({useful, affordable, most_pages}));
}

Engine::Engine(const RunConfig& config, const ModelFolder& model, const Ranks& ranks, const JobEstimate& job) {
  const ParallelSettings& parallel = config.parallel;
  const Comm& world = ranks.world;
  // Only now do all ranks' weights take memory, so what is free is asked for behind the agreement.
  together(world, [&] {
    stream_ = std::make_unique<cpu::Stream>(chosen_isa(), static_cast<int>(parallel.threads_per_rank.value_or(1)));
    const model::Placement placement{model.config.moe.experts, static_cast<std::uint32_t>(ranks.domain.size())};
    weights_ = model::load_weights(config.model.path, model.config, placement, {ranks.domain.rank()},
                                   config.model.load_format);
  });
  longest_ = static_cast<std::uint32_t>(std::max<std::uint64_t>(job.longest_tokens, 1));
  const KvNeed need{std::min<std::uint64_t>(parallel.max_num_seqs, job.sequences), job.likely_tokens,
                    job.longest_tokens};
  together(world,
           [&] { pages_ = kv_pages(model.config, parallel, need, spare_memory_bytes(ranks.ranks_sharing_memory)); });
  together(world, [&] {
    layers::ForwardSettings settings;
    settings.max_rows = parallel.max_num_batched_tokens;
    settings.max_positions = longest_;
    settings.pages = pages_;
    settings.micro_batches = parallel.micro_batches.value_or(1);
    forward_ = std::make_unique<layers::Forward>(*stream_, model.config, weights_, ranks.domain,
                                                 ranks.node_of_domain_rank, settings);
    generator_ = std::make_unique<Generator>(
        Generator::Parts{*stream_, model.config, model.tokenizer_or_null(), *forward_},
        schedule::SchedulerSettings{parallel.max_num_seqs, parallel.max_num_batched_tokens, pages_, longest_},
        config.output.store_text ? DecodeText::Yes : DecodeText::No);
  });
}

}  // namespace moemill::mill
