#include "plan/fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>

#include "base/error.hpp"
#include "base/text/format.hpp"
#include "plan/kv_plan.hpp"
#include "schedule/pages.hpp"
#include "system/machine/memory.hpp"
#include "weights/weights.hpp"

namespace moemill::mill {
namespace {

constexpr std::uint64_t all_memory = std::numeric_limits<std::uint64_t>::max();

// What the launcher's libraries add to this process on a rank.
constexpr std::uint64_t launched_bytes = std::uint64_t{12} << 20;

void tell_layout(const FitQuestion& q, const WeightShare& share) {
  const JobShape& s = q.shape;
  const auto domains = std::minmax_element(s.domain_size.begin(), s.domain_size.end());
  std::string experts = share.fewest_experts == share.most_experts
                            ? fmt::format("{}", share.most_experts)
                            : fmt::format("{} or {}", share.fewest_experts, share.most_experts);
  if (share.most_experts > share.fewest_experts + 1)
    experts = fmt::format("{} to {}", share.fewest_experts, share.most_experts);
  fmt::print("layout   {} on {} of {}; {} of {} experts a rank and layer, {} for a copy of all\n",
             counted(s.ranks, "rank", "ranks"), counted(s.nodes(), "node", "nodes"),
             s.nodes() == 1 ? s.ranks : s.ranks_per_node, experts, q.model.moe.experts,
             counted(*domains.first, "rank", "ranks"));
  if (share.ranks_without_experts > 0)
    fmt::print("warning: {} hold no expert: there are more ranks than experts\n",
               counted(share.ranks_without_experts, "rank", "ranks"));
}

void tell_line(const char* name, std::uint64_t bytes, const std::string& what) {
  fmt::print("  {:<10} {:>11}  {}\n", name, gib(bytes), what);
}

std::string cache_text(const FitQuestion& q, const KvPages& pages, std::uint64_t sequences) {
  std::string text = fmt::format("{} bytes a token; {} tokens", thousands(model::kv_bytes_per_token(q.model)),
                                 thousands(pages.tokens()));
  if (pages.full > 0 && pages.window > 0)
    text += fmt::format(", {} where layers see a window of {}",
                        thousands(std::uint64_t{pages.window} * schedule::page_tokens), q.model.gqa.window);
  return text + fmt::format(": {} of {} at a time", counted(sequences, "sequence", "sequences"),
                            counted(q.sequence_tokens, "token", "tokens"));
}

// Sequences of the longest kind that run at a time in these pages.
std::uint64_t sequences_in(const FitQuestion& q, const KvPages& pages) {
  const KvPages one = least_kv_pages(q.model, q.sequence_tokens);
  std::uint64_t n = q.parallel.max_num_seqs;
  if (one.full > 0) n = std::min<std::uint64_t>(n, pages.full / one.full);
  if (one.window > 0) {
    const std::uint32_t each =
        std::min(schedule::pages_for(q.sequence_tokens), schedule::pages_touched(q.model.gqa.window));
    n = std::min<std::uint64_t>(n, pages.window / each);
  }
  return std::min(n, (q.sequences + q.shape.ranks - 1) / q.shape.ranks);
}

void check_cache_setting(const FitQuestion& q, const KvPages& pages, const KvPages& least) {
  if (!q.parallel.kv_cache_tokens || (pages.full >= least.full && pages.window >= least.window)) return;
  user_error("parallel.kv_cache_tokens: {} is too little for the longest sequence, {} tokens; raise it",
             *q.parallel.kv_cache_tokens, q.sequence_tokens);
}

}  // namespace

Fits tell_fit(const FitQuestion& q) {
  const std::uint64_t process = peak_rss_bytes() + launched_bytes;  // before any workspace is tried
  const WeightShare share = weight_share(q.model, q.shape);
  tell_layout(q, share);
  const std::uint64_t ranks = std::min(q.shape.ranks, q.shape.ranks_per_node);
  const std::uint64_t domain = *std::max_element(q.shape.domain_size.begin(), q.shape.domain_size.end());
  const std::uint64_t workspace = workspace_bytes(q.model, q.parallel, static_cast<std::uint32_t>(domain));
  const MemoryLeft here = memory_left(static_cast<int>(ranks));
  const std::uint64_t memory = q.node_bytes.value_or(here.bytes);

  // As the engine does it: pages come out of what weights leave, less the margin.
  const std::uint64_t share_of_rank = (q.sequences + q.shape.ranks - 1) / q.shape.ranks;
  const KvNeed need{std::min<std::uint64_t>(q.parallel.max_num_seqs, share_of_rank), q.sequence_tokens,
                    q.sequence_tokens};
  const KvPages least = least_kv_pages(q.model, q.sequence_tokens);
  const std::uint64_t before_cache = share.node_bytes + ranks * process;
  const std::uint64_t left = memory > before_cache ? memory - before_cache : 0;
  const std::uint64_t spare = std::min(left / 5 * 4, left - std::min(left, ranks * workspace)) / ranks;
  const bool automatic = !q.parallel.kv_cache_tokens;
  const bool has_room = !automatic || least.bytes(q.model) <= spare;
  const KvPages pages = has_room ? kv_pages(q.model, q.parallel, need, spare) : least;
  check_cache_setting(q, pages, least);

  const std::uint64_t cache = pages.bytes(q.model), rank_bytes = share.rank_bytes + cache + workspace + process;
  const std::uint64_t node_bytes = share.node_bytes + ranks * (cache + workspace + process);
  fmt::print("memory   of the rank that holds most\n");
  tell_line("weights", share.rank_bytes,
            fmt::format("{} that every rank has, {} of experts", gib(share.replicated_bytes),
                        gib(share.rank_bytes - share.replicated_bytes)));
  tell_line("KV cache", cache, cache_text(q, pages, std::max<std::uint64_t>(sequences_in(q, pages), 1)));
  tell_line("workspace", workspace,
            fmt::format("{} a step, {}", counted(q.parallel.max_num_batched_tokens, "row", "rows"),
                        counted(q.parallel.threads_per_rank.value_or(1), "thread", "threads")));
  tell_line("process", process, "program, tokenizer, MPI");
  tell_line("together", rank_bytes,
            fmt::format("a rank; {} a node of {}", gib(node_bytes), counted(ranks, "rank", "ranks")));

  const std::string node = q.node_bytes ? fmt::format("{} of a node (--memory-per-node)", gib(memory))
                                        : fmt::format("{} free on this machine now{}", gib(memory),
                                                      here.limit.empty() ? "" : " (by " + here.limit + ")");
  if (!has_room || node_bytes > memory) {
    const std::uint64_t margin = automatic ? std::max(cache / 4, workspace) - workspace : 0;
    const std::uint64_t needed = node_bytes + ranks * margin;
    const bool cache_decides = needed - ranks * (cache + margin) <= memory;
    const char* otherwise = !cache_decides               ? ""
                            : q.parallel.kv_cache_tokens ? ", a lower parallel.kv_cache_tokens"
                                                         : ", a lower model.max_model_len or max_tokens (of a new run)";
    fmt::print("fits     no: {} a node are needed{}, more than the {}; use more nodes{}{}\n", gib(needed),
               margin > 0 ? " (a fifth of what weights leave is kept free)" : "", node,
               ranks > 1 ? " or fewer ranks a node" : "", otherwise);
    if (!q.node_bytes) fmt::print("         for other machines say --memory-per-node GIB\n");
    return Fits::No;
  }
  const std::uint64_t at_a_time = sequences_in(q, pages);
  fmt::print("fits     yes: {} a node, of {}\n", gib(node_bytes), node);
  if (at_a_time < need.sequences)
    fmt::print("         a cache for all {} sequences that a rank may work on, at full length, would take {}\n",
               thousands(need.sequences), gib(kv_pages(q.model, q.parallel, need, all_memory).bytes(q.model)));
  return Fits::Yes;
}

}  // namespace moemill::mill
