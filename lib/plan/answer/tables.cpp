#include "plan/answer/tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "plan/answer/words.hpp"
#include "plan/estimate/explain.hpp"
#include "plan/estimate/number_text.hpp"

namespace moemill::estimate {
namespace {

constexpr std::size_t best_of_machine = 4;  // rows of the table without --all

std::string groups_text(const Plan& plan) {
  if (!plan.is_split) return group_text(plan.decode.layout);
  return fmt::format("{:.0f} {} + {:.0f} {}", plan.prefill.groups, group_text(plan.prefill.layout), plan.decode.groups,
                     group_text(plan.decode.layout));
}

std::string table_row(const Plan& plan, const Band& band, std::size_t name_width) {
  const std::string cost = plan.is_priced ? fmt::format("{} ({} to {})", money(plan.cost()),
                                                        money(plan.cost() * band.low), money(plan.cost() * band.high))
                                          : "no price";
  return fmt::format("  {:<{}} {:>5} {:>10} {:>28} {:>8.1f} {:>18}  {}{}\n", plan.hardware->name, name_width, plan.gpus,
                     hours_text(plan.hours), cost, plan.user_tokens_per_second, groups_text(plan),
                     plan.is_split ? "phases apart" : "one pool", band.unchecked.empty() ? "" : ", unchecked");
}

}  // namespace

std::string plans_table(const Report& report, const std::vector<Plan>& plans) {
  std::size_t name_width = 0;
  for (const Plan& plan : plans) name_width = std::max(name_width, plan.hardware->name.size());
  std::string text = fmt::format("  {:<{}} {:>5} {:>10} {:>28} {:>8} {:>18}  phases\n", "", name_width, "GPUs", "time",
                                 "cost", "a user", "group");
  std::map<const Hardware*, std::size_t> rows;
  std::uint64_t more = 0;
  for (const Plan& plan : plans) {
    if (++rows[plan.hardware] > best_of_machine && report.listing == Listing::Best)
      ++more;
    else
      text += table_row(plan, band_of(plan, report.checked), name_width);
  }
  return more == 0 ? text : text + fmt::format("  and {} more (--all)\n", more);
}

std::string left_out_text(const Report& report) {
  std::string text;
  for (const auto& [reason, layouts] : report.search.left_out) {
    text += fmt::format("left out: {}: {}\n", counted(layouts.size(), "layout", "layouts"), reason);
    if (report.listing == Listing::All)
      for (const std::string& layout : layouts) text += fmt::format("  {}\n", layout);
  }
  return text;
}

std::string explanation(const Plan& plan, const Work& work) {
  std::string text;
  if (work.computed_tokens() > 0)
    text += fmt::format("how a step of prefill comes about: {:.0f} rows of prompts of {} tokens, {} of them cached\n{}",
                        plan.prefill.rows_per_gpu, whole(work.prompt_tokens()), whole(work.cached_positions()),
                        explain_step(plan.setting(plan.prefill), {model::Pass::Prompt, plan.prefill.rows_per_gpu,
                                                                  work.prompt_tokens(), 1, work.cached_positions()}));
  return text + fmt::format("how a step of decode comes about: {:.0f} rows that see {} positions\n{}",
                            plan.decode.rows_per_gpu, whole(work.context()),
                            explain_step(plan.setting(plan.decode),
                                         {model::Pass::Generated, plan.decode.rows_per_gpu, work.context()}));
}

}  // namespace moemill::estimate
