#include "plan/fit.hpp"

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "base/numbers/rounding.hpp"
#include "schedule/pages.hpp"

namespace moemill::mill {
namespace {

constexpr std::uint64_t all_memory = std::numeric_limits<std::uint64_t>::max();

// Memory that the launcher's libraries add to a process on a rank.
constexpr std::uint64_t launched_bytes = std::uint64_t{12} << 20;

std::uint64_t sequences_per_rank(const FitQuestion& q) { return divide_up(q.sequences, std::uint64_t{q.shape.ranks}); }

// The number of sequences of full length, per rank, that can run at a time in these pages.
std::uint64_t sequences_in(const FitQuestion& q, const KvPages& pages) {
  const KvPages one = least_kv_pages(q.model, q.sequence_tokens);
  std::uint64_t n = q.parallel.max_num_seqs;
  if (one.full > 0) n = std::min<std::uint64_t>(n, pages.full / one.full);
  if (one.window > 0) {
    const std::uint32_t each =
        std::min(schedule::pages_for(q.sequence_tokens), schedule::pages_touched(q.model.gqa.window));
    n = std::min<std::uint64_t>(n, pages.window / each);
  }
  return std::min(n, sequences_per_rank(q));
}

void check_cache_setting(const FitQuestion& q, const KvPages& pages, const KvPages& least) {
  if (!q.parallel.kv_cache_tokens || (pages.full >= least.full && pages.window >= least.window)) return;
  user_error("parallel.kv_cache_tokens: {} is too little for the longest sequence, {} tokens; raise it",
             *q.parallel.kv_cache_tokens, q.sequence_tokens);
}

Fit::Shortage shortage_of(const Fit& fit, bool has_room) {
  const std::uint64_t memory = fit.available.bytes;
  if (has_room && fit.node_bytes <= memory) return Fit::Shortage::None;
  const std::uint64_t without_cache = fit.node_bytes - fit.ranks_on_node * fit.cache_bytes;
  return without_cache <= memory ? Fit::Shortage::Cache : Fit::Shortage::All;
}

}  // namespace

std::uint64_t process_bytes() { return peak_rss_bytes() + launched_bytes; }

Fit fit(const FitQuestion& q) {
  Fit fit;
  fit.process_bytes = q.process_bytes ? *q.process_bytes : process_bytes();  // before workspace_bytes() creates buffers
  fit.weights = weight_share(q.model, q.shape);
  fit.ranks_on_node = q.shape.ranks_per_node;
  fit.workspace_bytes =
      workspace_bytes(q.model, q.parallel, largest_domain(q.shape)) + scratch_bytes(q.model, q.parallel);
  MemorySources sources = memory_sources();
  sources.shared_bytes_to_come = fit.weights.shared_bytes;
  fit.available = memory_left(static_cast<int>(fit.ranks_on_node), sources);
  if (q.node_bytes) fit.available = {*q.node_bytes, ""};

  // As in the engine: KV pages get the memory that the weights leave, less the margin.
  const std::uint64_t ranks = fit.ranks_on_node, memory = fit.available.bytes;
  const std::uint64_t before_cache = fit.weights.node_bytes + ranks * fit.process_bytes;
  const std::uint64_t left = memory > before_cache ? memory - before_cache : 0;
  const std::uint64_t spare =
      std::min(cache_budget(left, ranks), (left - std::min(left, ranks * fit.workspace_bytes)) / ranks);

  fit.sequences_wanted = std::min<std::uint64_t>(q.parallel.max_num_seqs, sequences_per_rank(q));
  // Any rank may get any prompt, so each makes room for all that the job has, up to its limit.
  const std::uint64_t sequences = std::min<std::uint64_t>(q.parallel.max_num_seqs, q.sequences);
  const KvNeed need{sequences, q.sequence_tokens, q.sequence_tokens};
  const KvPages least = least_kv_pages(q.model, q.sequence_tokens);
  const bool automatic = !q.parallel.kv_cache_tokens, has_room = !automatic || least.bytes(q.model) <= spare;
  fit.pages = has_room ? kv_pages(q.model, q.parallel, need, spare) : least;
  check_cache_setting(q, fit.pages, least);

  fit.cache_bytes = fit.pages.bytes(q.model);
  fit.node_bytes = fit.weights.node_bytes + ranks * (fit.cache_bytes + fit.workspace_bytes + fit.process_bytes);
  // The workspace lies in the fifth that the cache leaves free.
  if (automatic)
    fit.kept_free_bytes = ranks * (std::max(fit.cache_bytes / 4, fit.workspace_bytes) - fit.workspace_bytes);
  fit.shortage = shortage_of(fit, has_room);
  fit.sequences_at_a_time = sequences_in(q, fit.pages);
  ParallelSettings roomy = q.parallel;
  roomy.kv_cache_tokens.reset();
  fit.wanted_cache_bytes = kv_pages(q.model, roomy, need, all_memory).bytes(q.model);
  return fit;
}

}  // namespace moemill::mill
