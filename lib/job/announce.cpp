#include "job/announce.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/arithmetic.hpp"
#include "base/log.hpp"
#include "base/text/format.hpp"
#include "job/finish.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::mill {

void announce(const RunPlan& plan, const RunConfig& config, const ModelFolder& model,
              const dataset::PromptFile& prompts, const Ranks& ranks, const Engine& engine) {
  const auto counts = model::count_parameters(model.config);
  log::info("{}: {} of {:.3g}M parameters, {:.3g}M active per token; {} on {}, experts over {}{}; {}",
            config.model.path, model.config.model_type, static_cast<double>(counts.total) / 1e6,
            static_cast<double>(counts.active) / 1e6,
            counted(static_cast<std::uint64_t>(ranks.world.size()), "rank", "ranks"),
            counted(static_cast<std::uint64_t>(ranks.nodes), "node", "nodes"), ranks.domain.size(),
            ranks.domains > 1 ? fmt::format(" ({} domains)", ranks.domains) : "",
            backend_name(config.runtime.backend, config.model.arithmetic));
  const KvPages& pages = engine.kv_pages();
  const bool both = pages.full > 0 && pages.window > 0;
  const BackendMemory memory = engine.backend().memory();
  log::info("a rank {} {} of weights, holds {} of KV cache for {} tokens{}, and runs up to {} sequences",
            memory.node_weights > 0 ? "shares" : "holds", gib(std::max(memory.weights, memory.node_weights)),
            gib(memory.kv_cache), thousands(pages.tokens()),
            both ? fmt::format(" ({} in layers with a window)", thousands(pages.window * schedule::page_tokens)) : "",
            thousands(config.parallel.max_num_seqs));
  if (config.model.arithmetic == Arithmetic::Int8) {
    const model::HeldWeights held = model::held_weights(model.config);
    log::info("arithmetic int8: {} of a copy's weights are held in int8{}", gib(held.int8_bytes),
              model.config.quantization.format == model::WeightFormat::Plain
                  ? ""
                  : ", whatever the codes in the files; model.keep_quantized does not apply to them");
  }
  log::info("{}: {} prompts, {} rows{}", plan.paths.dir, thousands(plan.manifest.prompts),
            thousands(plan.manifest.completions),
            plan.before.rows > 0 ? fmt::format(", {} of them from earlier attempts (attempt {})",
                                               rows_text(plan.before), plan.manifest.attempts)
                                 : "");
  if (const std::string columns = columns_text(prompts); !columns.empty())
    log::info("{}: columns {}", config.input.path, columns);
}

void log_prefixes(const Comm& world, const JobEstimate& job) {
  if (world.rank() > 0 || job.prefixes.places().empty()) return;
  std::uint64_t shared = 0;
  for (const auto& place : job.prefixes.places()) shared += place.shared_tokens;
  log::info("{} prompts begin like others: {} of their tokens are computed once a rank",
            thousands(job.prefixes.places().size()), thousands(shared));
}

}  // namespace moemill::mill
