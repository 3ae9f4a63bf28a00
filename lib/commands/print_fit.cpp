#include "commands/print_fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/text/format.hpp"

namespace moemill::mill {
namespace {

void print_layout(const FitQuestion& q, const WeightShare& share) {
  const JobShape& s = q.shape;
  const auto domain_ranks = *std::min_element(s.domain_size.begin(), s.domain_size.end());
  std::string experts = share.fewest_experts == share.most_experts
                            ? fmt::format("{}", share.most_experts)
                            : fmt::format("{} or {}", share.fewest_experts, share.most_experts);
  if (share.most_experts > share.fewest_experts + 1)
    experts = fmt::format("{} to {}", share.fewest_experts, share.most_experts);
  fmt::print("layout   {} on {} of {}; {} of {} experts per rank and layer, {} for a copy of all\n",
             counted(s.ranks, "rank", "ranks"), counted(s.nodes(), "node", "nodes"), s.ranks_per_node, experts,
             q.model.moe.experts, counted(domain_ranks, "rank", "ranks"));
  if (!s.warning.empty()) fmt::print("warning: {}\n", s.warning);
  if (share.ranks_without_experts > 0)
    fmt::print("warning: {} hold no expert: there are more ranks than experts\n",
               counted(share.ranks_without_experts, "rank", "ranks"));
}

void print_part(const char* name, std::uint64_t bytes, const std::string& what) {
  fmt::print("  {:<10} {:>11}  {}\n", name, gib(bytes), what);
}

std::string cache_text(const FitQuestion& q, const Fit& fit) {
  const KvPages& pages = fit.pages;
  std::string text = fmt::format("{} bytes per token; {} tokens", thousands(model::kv_bytes_per_token(q.model)),
                                 thousands(pages.tokens()));
  if (pages.full > 0 && pages.window > 0)
    text += fmt::format(", {} where layers see a window of {}",
                        thousands(std::uint64_t{pages.window} * schedule::page_tokens), q.model.gqa.window);
  const std::uint64_t sequences = std::max<std::uint64_t>(fit.sequences_at_a_time, 1);
  return text + fmt::format(": {} of {} at a time", counted(sequences, "sequence", "sequences"),
                            counted(q.sequence_tokens, "token", "tokens"));
}

void print_weights(const Fit& fit) {
  const WeightShare& w = fit.weights;
  const std::string ranks = counted(fit.ranks_on_node, "rank", "ranks");
  const std::uint64_t bytes = w.shared_bytes > 0 ? w.shared_bytes : w.rank_bytes;
  print_part(
      "weights", bytes,
      fmt::format("{} that every rank uses, {} of experts{}", gib(w.replicated_bytes), gib(bytes - w.replicated_bytes),
                  w.shared_bytes > 0 ? ": once for the " + ranks + " of a node" : ""));
}

void print_memory(const FitQuestion& q, const Fit& fit) {
  const bool shared = fit.weights.shared_bytes > 0;
  fmt::print("memory   of {}\n",
             shared ? "the node that holds most, and of each of its ranks" : "the rank that holds most");
  print_weights(fit);
  print_part("KV cache", fit.cache_bytes, cache_text(q, fit));
  print_part("workspace", fit.workspace_bytes,
             fmt::format("{} per step, {}", counted(q.parallel.max_num_batched_tokens, "row", "rows"),
                         counted(q.parallel.threads_per_rank.value_or(1), "thread", "threads")));
  print_part("process", fit.process_bytes, "program, tokenizer, MPI");
  print_part("together", fit.rank_bytes(),
             fmt::format("per rank{}; {} per node of {}", shared ? " without the weights" : "", gib(fit.node_bytes),
                         counted(fit.ranks_on_node, "rank", "ranks")));
}

std::string available_text(const FitQuestion& q, const Fit& fit) {
  const std::string bytes = gib(fit.available.bytes);
  if (q.node_bytes) return fmt::format("{} of a node (--memory-per-node)", bytes);
  return fmt::format("{} free on this machine now{}", bytes,
                     fit.available.limit.empty() ? "" : " (by " + fit.available.limit + ")");
}

void print_shortage(const FitQuestion& q, const Fit& fit) {
  const char* smaller_cache = "";
  if (fit.shortage == Fit::Shortage::Cache)
    smaller_cache = q.parallel.kv_cache_tokens ? ", a lower parallel.kv_cache_tokens"
                                               : ", a lower model.max_model_len or max_tokens (of a new run)";
  fmt::print("fits     no: {} per node are needed{}, more than the {}; use more nodes{}{}\n",
             gib(fit.node_bytes + fit.kept_free_bytes),
             fit.kept_free_bytes > 0 ? " (a fifth of what weights leave is kept free)" : "", available_text(q, fit),
             fit.ranks_on_node > 1 ? " or fewer ranks per node" : "", smaller_cache);
  if (!q.node_bytes) fmt::print("         for other machines give --memory-per-node GIB\n");
}

}  // namespace

void print_domain(const std::string& asked, const DomainChoice& choice) {
  const bool is_auto = asked == "auto";
  if (choice.layouts.empty() && !is_auto) return;
  fmt::print("domain   {}auto is {}: {}\n", is_auto ? "" : fmt::format("{}, as parallel.expert_domain says; ", asked),
             choice.setting, reason_text(choice));
  for (const std::string& line : layout_lines(choice)) fmt::print("         {}\n", line);
}

void print_fit(const FitQuestion& q, const Fit& fit) {
  print_layout(q, fit.weights);
  print_memory(q, fit);
  if (fit.shortage != Fit::Shortage::None) return print_shortage(q, fit);
  fmt::print("fits     yes: {} per node, of {}\n", gib(fit.node_bytes), available_text(q, fit));
  if (fit.sequences_at_a_time < fit.sequences_wanted)
    fmt::print("         a cache for all {} sequences that a rank may work on, at full length, would take {}\n",
               thousands(fit.sequences_wanted), gib(fit.wanted_cache_bytes));
}

}  // namespace moemill::mill
