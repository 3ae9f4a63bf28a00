#include "plan/expert_domain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/text/format.hpp"
#include "layers/dispatch/place_experts.hpp"
#include "plan/exchange_bytes.hpp"
#include "plan/fit.hpp"
#include "plan/footprint.hpp"

namespace moemill::mill {
namespace {

using Reason = DomainChoice::Reason;

std::uint32_t nodes_of(const DomainQuestion& q) { return static_cast<std::uint32_t>(q.nodes.back()) + 1; }

// The numbers of nodes that make domains which are alike, ascending. Domains that cannot take the redundant experts are
// left out, but for one of all nodes, about which whoever runs or checks the job complains.
std::vector<std::uint32_t> domain_nodes(const DomainQuestion& q) {
  const std::uint32_t nodes = nodes_of(q);
  std::vector<std::uint32_t> ranks(nodes), sizes;
  for (const int node : q.nodes) ++ranks[static_cast<std::size_t>(node)];
  const bool alike = std::ranges::all_of(ranks, [&](std::uint32_t count) { return count == ranks.front(); });
  const auto can_take_redundant = [&](std::uint32_t d) {
    return d == 1 || q.parallel.redundant_experts <= layers::most_redundant(q.model.moe, d);
  };
  for (std::uint32_t d = 1; d <= nodes; ++d)
    if (d == nodes || ((d == 1 || (alike && nodes % d == 0)) && can_take_redundant(d))) sizes.push_back(d);
  return sizes;
}

std::string setting_of(const DomainQuestion& q, std::uint32_t nodes) {
  if (nodes == nodes_of(q)) return "world";
  return nodes == 1 ? "node" : std::to_string(q.nodes.size() / nodes_of(q) * nodes);
}

// Long prompts are no fault here: if kv_cache_tokens is too little for them, whoever runs or checks the job says so.
std::uint64_t tokens_that_fit(const DomainQuestion& q) {
  return q.parallel.kv_cache_tokens ? std::min(q.sequence_tokens, *q.parallel.kv_cache_tokens) : q.sequence_tokens;
}

DomainLayout layout_of(const DomainQuestion& q, std::uint32_t nodes) {
  DomainLayout layout{.nodes = nodes, .setting = setting_of(q, nodes)};
  ParallelSettings parallel = q.parallel;
  parallel.expert_domain = layout.setting;
  const FitQuestion question{q.model,      parallel,       shape_of(parallel, q.nodes), q.sequences, tokens_that_fit(q),
                             q.node_bytes, q.process_bytes};
  const JobShape& shape = question.shape;
  const Fit answer = fit(question);
  layout.fits = answer.shortage == Fit::Shortage::None;
  layout.node_bytes = answer.node_bytes + answer.kept_free_bytes, layout.memory = answer.available.bytes;
  layout.sequences = std::min(answer.sequences_at_a_time * shape.ranks, q.sequences);
  const double ranks = shape.ranks;
  const double ranks_of_domain = std::accumulate(shape.domain_size.begin(), shape.domain_size.end(), 0.0) / ranks;
  if (q.model.moe.experts > 0)
    layout.rows_an_expert = static_cast<double>(layout.sequences) * ranks_of_domain / ranks * q.model.moe.picks /
                            static_cast<double>(q.model.moe.experts);
  layout.bytes_between = bytes_between_nodes(q.model, shape);
  return layout;
}

// If no layout brings enough rows, reading weights decides the time of a step. A domain of more nodes reads each expert
// on fewer of them, which pays as long as a row more at an expert is seldom its first: then the most rows are best. But
// where even the most are less than one an expert, as in a job of a few prompts, nearly every row is the only one of
// its expert, so that as many weights are read however far they are spread (1.6 times fewer at one row an expert, at
// best). Then the fewest nodes are best that run as many sequences: none waits for another, and nothing is sent.
std::pair<const DomainLayout*, Reason> choose_of_few_rows(const std::vector<DomainLayout>& all) {
  const DomainLayout* most = nullptr;
  for (const DomainLayout& layout : all)
    if (layout.fits && (!most || layout.rows_an_expert > most->rows_an_expert)) most = &layout;
  if (!most)  // whoever runs or checks the job says what is short
    return {&*std::ranges::min_element(all, {}, &DomainLayout::node_bytes), Reason::NoRoom};
  if (most->rows_an_expert >= 1) return {most, Reason::MostRows};
  const auto as_many = [&](const DomainLayout& layout) { return layout.fits && layout.sequences >= most->sequences; };
  return {&*std::ranges::find_if(all, as_many), Reason::FewRows};
}

std::string rows_text(double rows) {
  const std::string text = rows < 100 ? fmt::format("{:.3g}", rows) : thousands(static_cast<std::uint64_t>(rows + 0.5));
  return text + (text == "1" ? " row" : " rows");
}

// Not more digits than the draws of exchange_bytes are good for.
std::string bytes_text(double bytes) {
  double unit = 1;
  while (bytes >= 1000 * unit) unit *= 10;
  return (bytes > 0 ? "about " : "") + thousands(static_cast<std::uint64_t>(std::round(bytes / unit) * unit));
}

// "one node", "2 of 4 nodes", "all 4 nodes" or "both nodes".
std::string nodes_text(std::uint32_t nodes, std::uint32_t all) {
  if (nodes == all) return all == 2 ? "both nodes" : fmt::format("all {} nodes", all);
  return nodes == 1 ? "one node" : fmt::format("{} of {} nodes", nodes, all);
}

}  // namespace

DomainChoice choose_domain(const DomainQuestion& q) {
  const std::uint32_t nodes = nodes_of(q);
  if (nodes == 1) return {Reason::OneNode, "world", 1, {}};
  const bool has_experts = q.model.moe.experts > 0;
  std::vector<DomainLayout> seen;
  const auto enough = [&](const DomainLayout& layout) {
    return layout.fits && (!has_experts || layout.rows_an_expert >= enough_rows);
  };
  // Each takes a moment, so none is looked at behind the first good one.
  for (const std::uint32_t d : domain_nodes(q)) {
    seen.push_back(layout_of(q, d));
    if (enough(seen.back())) break;
  }
  const bool found = enough(seen.back());
  auto [chosen, reason] = choose_of_few_rows(seen);
  if (found) chosen = &seen.back(), reason = has_experts ? Reason::EnoughRows : Reason::NoExperts;
  DomainChoice choice{reason, chosen->setting, chosen->nodes, {}};
  if (seen.back().nodes < nodes) seen.push_back(layout_of(q, nodes));
  for (const DomainLayout& layout : seen)
    if (layout.nodes == 1 || layout.nodes == nodes || layout.nodes == choice.nodes) choice.layouts.push_back(layout);
  return choice;
}

std::string reason_text(const DomainChoice& choice) {
  const std::uint32_t all = choice.layouts.empty() ? 1 : choice.layouts.back().nodes;
  const std::string nodes = nodes_text(choice.nodes, all);
  std::string rows;
  for (const DomainLayout& layout : choice.layouts)
    if (layout.nodes == choice.nodes) rows = rows_text(layout.rows_an_expert);
  switch (choice.reason) {
    case Reason::OneNode: return "the job has one node";
    case Reason::NoExperts: return "the model has no routed experts";
    case Reason::EnoughRows:
      return choice.nodes == 1
                 ? fmt::format("one node holds a copy of the experts and brings each {} a step ({} are enough)", rows,
                               enough_rows)
                 : fmt::format("{} are the fewest that hold a copy of the experts and bring each {} rows a step", nodes,
                               enough_rows);
    case Reason::MostRows:
      return fmt::format("no layout that fits brings an expert {} rows a step; {} {} most, {}", enough_rows, nodes,
                         choice.nodes == 1 ? "brings" : "bring", rows);
    case Reason::FewRows:
      return "no layout that fits brings an expert even one row a step, so the fewest nodes that run as many sequences "
             "are taken";
    case Reason::NoRoom: break;
  }
  return fmt::format("no layout fits into memory; {} {} least on a node", nodes, choice.nodes == 1 ? "needs" : "need");
}

std::vector<std::string> layout_lines(const DomainChoice& choice) {
  std::vector<std::string> lines;
  for (const DomainLayout& layout : choice.layouts) {
    const std::string name = nodes_text(layout.nodes, choice.layouts.back().nodes);
    const std::string figures =
        layout.fits
            ? fmt::format("{} bytes a token between nodes, {} an expert, {} at a time",
                          bytes_text(layout.bytes_between), rows_text(layout.rows_an_expert),
                          counted(layout.sequences, "sequence", "sequences"))
            : fmt::format("no room: {} a node are needed, more than {}", gib(layout.node_bytes), gib(layout.memory));
    lines.push_back(fmt::format("{:<14} {}", name, figures));
  }
  return lines;
}

}  // namespace moemill::mill
