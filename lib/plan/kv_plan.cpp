#include "plan/kv_plan.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text/format.hpp"
#include "schedule/pages.hpp"
#include "system/machine/memory.hpp"

namespace moemill::mill {
namespace {

using schedule::page_tokens;
using schedule::pages_for;

// Token counts and positions in the cache are 32-bit numbers; 2^26 pages of 64 tokens would be one token too many.
constexpr std::uint64_t max_pages = (std::uint64_t{1} << 26) - 1;

std::uint32_t clamp(std::uint64_t pages) { return static_cast<std::uint32_t>(std::min(pages, max_pages)); }

bool has_full_layers(const model::ModelConfig& config) { return model::windowed_layers(config) < config.layers; }
bool has_windows(const model::ModelConfig& config) { return model::windowed_layers(config) > 0; }

// The most pages that the job can use.
KvPages useful_pages(const model::ModelConfig& config, const ParallelSettings& settings, const KvNeed& need) {
  KvPages pages;
  const std::uint64_t longest = pages_for(need.longest_tokens);
  if (has_full_layers(config))
    pages.full = clamp(std::max<std::uint64_t>(pages_for(need.likely_tokens) * need.sequences, longest));
  if (has_windows(config)) {
    const std::uint64_t windows = schedule::useful_window_pages(config.gqa.window, need.likely_tokens, need.sequences,
                                                                settings.max_num_batched_tokens);
    pages.window =
        clamp(std::max<std::uint64_t>(windows, schedule::least_window_pages(config.gqa.window, need.longest_tokens)));
  }
  return pages;
}

KvPages explicit_pages(const model::ModelConfig& config, const ParallelSettings& settings, const KvNeed& need) {
  const std::uint64_t tokens = *settings.kv_cache_tokens;
  if (tokens > max_pages * page_tokens)
    user_error("parallel.kv_cache_tokens is {}; a rank can hold at most {}", tokens, max_pages * page_tokens);
  // Windowed layers never need more pages than layers with full attention.
  const std::uint32_t requested = pages_for(tokens);
  const KvPages useful = useful_pages(config, settings, {need.sequences, need.longest_tokens, need.longest_tokens});
  const KvPages pages{has_full_layers(config) ? requested : 0, std::min(requested, useful.window)};
  const KvPages least = least_kv_pages(config, need.likely_tokens);
  if (pages.full < least.full || pages.window < least.window)
    log::warning("parallel.kv_cache_tokens {} may be too small for the longest sequence, about {} tokens", tokens,
                 need.likely_tokens);
  return pages;
}

// `least` plus a share, 0 to 1, of the difference between `more` and `least`.
std::uint32_t between(std::uint32_t least, std::uint32_t more, double share) {
  return more <= least ? more : least + static_cast<std::uint32_t>(share * static_cast<double>(more - least));
}

}  // namespace

std::uint64_t KvPages::bytes(const model::ModelConfig& config) const {
  return full * layers::page_bytes(config, schedule::PageGroup::Full) +
         window * layers::page_bytes(config, schedule::PageGroup::Window);
}

KvPages least_kv_pages(const model::ModelConfig& config, std::uint64_t tokens) {
  return {has_full_layers(config) ? clamp(pages_for(tokens)) : 0,
          has_windows(config) ? schedule::least_window_pages(config.gqa.window, tokens) : 0};
}

std::uint64_t cache_budget(std::uint64_t free_bytes, std::uint64_t ranks) { return free_bytes / 5 * 4 / ranks; }

KvPages kv_pages(const model::ModelConfig& config, const ParallelSettings& settings, const KvNeed& need,
                 std::uint64_t spare_bytes) {
  if (settings.kv_cache_tokens) return explicit_pages(config, settings, need);
  const KvPages useful = useful_pages(config, settings, need), least = least_kv_pages(config, need.likely_tokens);
  const std::uint64_t useful_bytes = useful.bytes(config), least_bytes = least.bytes(config);
  if (useful_bytes <= spare_bytes) return useful;
  if (least_bytes > spare_bytes)
    user_error(
        "the KV cache of one sequence of {} tokens takes {}, but only {} of memory is free per rank (the least of what "
        "the machine has, its control groups, Slurm's --mem and ulimit -v allow, less a fifth); use fewer ranks per "
        "machine or allow the job more, and rerun the same command to resume; a lower max_tokens or "
        "model.max_model_len changes the answers, and needs a different output.dir or --overwrite if the run has "
        "already begun",
        need.likely_tokens, gib(least_bytes), gib(spare_bytes));
  const double share = static_cast<double>(spare_bytes - least_bytes) / static_cast<double>(useful_bytes - least_bytes);
  return {between(least.full, useful.full, share), between(least.window, useful.window, share)};
}

}  // namespace moemill::mill
