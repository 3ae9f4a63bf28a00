#include "mill/summary.hpp"

#include "base/text/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace moemill::mill {
namespace {

double rate(std::uint64_t count, double seconds) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }

}  // namespace

void Held::add(double seconds, int ranks, int nodes, const dataset::AttemptCores& cores) {
  rank_seconds += seconds * ranks;
  node_seconds += seconds * nodes;
  core_seconds_allocated += seconds * static_cast<double>(cores.allocated);
  core_seconds_used += seconds * static_cast<double>(cores.used);
}

const std::string& cost_unit(const CostSettings& settings) {
  static const std::string core = "core";
  return settings.unit == "auto" ? core : settings.unit;
}

Cost cost_of(const Summary& s, const CostSettings& settings) {
  const std::string& unit = cost_unit(settings);
  double seconds = s.held.rank_seconds;
  if (unit == "node") seconds = s.held.node_seconds;
  if (unit == "core") seconds = s.held.core_seconds_allocated;
  if (unit == "job") seconds = s.wall_seconds;
  Cost cost;
  cost.unit_hours = seconds / 3600;
  if (!settings.hour_price) return cost;
  cost.total = *settings.hour_price * cost.unit_hours;
  const auto tokens = s.totals.prompt_tokens + s.totals.generated_tokens;
  if (tokens > 0) cost.per_million_tokens = cost.total * 1e6 / static_cast<double>(tokens);
  if (s.totals.generated_tokens > 0)
    cost.per_million_output_tokens = cost.total * 1e6 / static_cast<double>(s.totals.generated_tokens);
  return cost;
}

std::string to_json(const Summary& s, const CostSettings& settings) {
  const Totals& t = s.totals;
  const auto prompt_tokens = t.prompt_tokens + t.cached_prompt_tokens;
  nlohmann::ordered_json j;
  j["prompts_total"] = s.prompts_total;
  j["prompts_done"] = s.prompts_done;
  j["prompts_failed"] = s.prompts_failed;
  j["failed_by_code"] = s.failed_by_code;
  j["double_bos_prompts"] = s.double_bos_prompts;
  j["completions"] = s.completions;
  j["prompt_tokens"] = prompt_tokens;
  j["cached_prompt_tokens"] = t.cached_prompt_tokens;
  j["generated_tokens"] = t.generated_tokens;
  j["wall_seconds"] = s.wall_seconds;
  j["load_seconds"] = s.load_seconds;
  put_seconds(j, t, SecondsOf::Run);
  j["tokens_per_second"] = rate(t.prompt_tokens + t.generated_tokens, s.wall_seconds);
  j["prefill_tokens_per_second"] = rate(t.prompt_tokens, t.prefill_seconds);
  j["decode_tokens_per_second"] = rate(t.decode_step_tokens, t.decode_seconds);
  j["core_hours_allocated"] = s.held.core_seconds_allocated / 3600;
  j["core_hours_used"] = s.held.core_seconds_used / 3600;
  j["ranks"] = s.ranks;
  j["nodes"] = s.nodes;
  j["attempts"] = s.attempts;
  j["resumed_rows"] = s.resumed_rows;
  put(j, t, CountOf::Memory);
  j["memory"] = {{"node_shared_bytes", s.memory.node_shared_bytes},
                 {"rank_private_bytes", s.memory.rank_private_bytes},
                 {"huge_page_bytes", s.memory.huge_page_bytes}};
  j["kv_bytes_per_token"] = s.kv_bytes_per_token;
  put(j["exchange"], t, CountOf::Exchange);
  j["exchange"]["nodes_per_row"] = ratio(t.row_nodes, t.rows_routed, 0);
  put_seconds(j["exchange"], t, SecondsOf::Exchange);
  put(j["micro_batches"], t, CountOf::Steps);
  const std::uint64_t hit = t.prefix_hit_tokens, shared = std::max(t.prefix_shared_tokens, hit);
  j["prefix"] = {{"shared_tokens", shared}, {"hit_tokens", hit}, {"repeated_tokens", shared - hit}};
  j["balance"] = {{"rows_mean_over_max", ratio(t.step_rows, t.busiest_rows, 1)},
                  {"tail_seconds", t.tail_seconds},
                  {"tail_utilisation", t.tail_place_seconds > 0 ? t.tail_sequence_seconds / t.tail_place_seconds : 1},
                  {"replayed_tokens", t.replayed_tokens}};
  j["expert_load"] = {{"max_over_mean", s.expert_load.nodes_in_slices},
                      {"max_over_mean_balanced", s.expert_load.nodes},
                      {"expert_max_over_mean", s.expert_load.max_over_mean},
                      {"work_max_over_mean", ratio(t.busiest_work, t.expert_work, 1)},
                      {"work_max_over_mean_unsplit", ratio(t.busiest_owner_work, t.expert_work, 1)}};
  j["row_seconds"] = s.row_seconds.summary();
  nlohmann::ordered_json cost = {{"currency", settings.currency}};
  if (settings.hour_price) {
    Cost c = cost_of(s, settings);
    cost["total"] = c.total;
    cost["per_million_tokens"] = c.per_million_tokens;
    cost["per_million_output_tokens"] = c.per_million_output_tokens;
  } else {  // no price, no cost: null rather than a made-up 0
    cost["total"] = cost["per_million_tokens"] = cost["per_million_output_tokens"] = nullptr;
  }
  j["cost"] = cost;
  j["predicted"] = nullptr;
  if (s.predicted) {
    const auto per_million =
        settings.hour_price ? std::optional(cost_of(s, settings).per_million_tokens) : std::nullopt;
    j["predicted"] = json_of(*s.predicted, per_million);
  }
  j["exit_code"] = s.exit_code;
  return j.dump(2) + "\n";
}

std::string ledger_line(const Summary& s, const CostSettings& settings) {
  const Totals& t = s.totals;
  const std::string cached =
      t.cached_prompt_tokens > 0 ? fmt::format(" ({} more shared)", thousands(t.cached_prompt_tokens)) : "";
  std::string line =
      fmt::format("ledger: {} prompt{} + {} generated tokens in {}, {:.0f} tokens/s", thousands(t.prompt_tokens),
                  cached, thousands(t.generated_tokens), clock_text(s.wall_seconds),
                  rate(t.prompt_tokens + t.generated_tokens, s.wall_seconds));
  const double allocated = s.held.core_seconds_allocated / 3600, used = s.held.core_seconds_used / 3600;
  line += fmt::format("; {:.3g} core-hours", allocated);
  if (used < 0.99 * allocated) line += fmt::format(", {:.3g} of them used", used);
  if (!settings.hour_price) return line + "; set cost.hour_price to see what they cost";
  Cost c = cost_of(s, settings);
  return line + fmt::format("; {:.3g} {} ({:.3g} {}-hours at {}): {:.4g} {} per 1M tokens, {:.4g} per 1M generated",
                            c.total, settings.currency, c.unit_hours, cost_unit(settings), *settings.hour_price,
                            c.per_million_tokens, settings.currency, c.per_million_output_tokens);
}

}  // namespace moemill::mill
