#include "plan/answer/answer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.hpp"
#include "plan/estimate/number_text.hpp"

namespace moemill::estimate {
namespace {

constexpr std::size_t fewest_points = 3;  // below, their errors say little about others
constexpr double fewest_rows = 16;        // per GPU: below, kernel starts and latencies decide
constexpr double unchecked_factor = 1.5;
constexpr std::size_t best_of_machine = 4;  // rows of the table without --all

std::string hours_text(double hours) {
  if (hours < 1.0 / 60) return fmt::format("{:.1f} s", 3600 * hours);
  if (hours < 1) return fmt::format("{:.1f} min", 60 * hours);
  return hours < 1000 ? fmt::format("{:.1f} h", hours) : whole(hours) + " h";
}

std::string money(double value) {
  if (value > 0 && value < 0.1) return fmt::format("{:.2g}", value);
  return value < 100 ? fmt::format("{:.2f}", value) : whole(value);
}

// The plan has a price.
std::string currency_of(const Question& question, const Plan& plan) {
  return question.hour_price ? question.currency : plan.hardware->price->currency;
}

double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - static_cast<double>(below));
}

bool is_like(const Plan& plan, const Checked& one) {
  return one.family == plan.hardware->family && (one.point.workload == Workload::Queued) != plan.is_split;
}

std::string price_text(const Question& question, const Plan& plan) {
  return fmt::format("at {:.2f} {}/GPU-hour ({})", plan.gpu_hour_price, currency_of(question, plan),
                     question.hour_price ? "as asked" : plan.hardware->price->date);
}

std::string first_line(const Question& question, const Plan& plan, const Band& band) {
  const Work& w = question.work;
  const std::uint32_t per_node = plan.hardware->gpus_per_node;
  std::string text =
      fmt::format("{} {} ({} + {} tokens): {} on {} {} ({})", whole(w.prompts), w.prompts == 1 ? "prompt" : "prompts",
                  whole(w.input.mean), whole(w.output.mean), hours_text(plan.hours), thousands(plan.gpus),
                  plan.hardware->name, counted((plan.gpus + per_node - 1) / per_node, "node", "nodes"));
  if (!plan.is_priced) return text + ", no price is known: give --hour-price";
  return text + fmt::format(", {} {} ({} to {}) {}", money(plan.cost()), currency_of(question, plan),
                            money(plan.cost() * band.low), money(plan.cost() * band.high), price_text(question, plan));
}

std::string layout_text(const Layout& layout) {
  constexpr const char* exchanges[] = {"every copy", "once a node", "once a GPU", "all-gather"};
  std::string text = layout.gpus == 1 ? "whole model on each GPU" : fmt::format("experts over {} GPUs", layout.gpus);
  if (layout.gpus > 1) text += fmt::format(", exchange {}", exchanges[static_cast<std::size_t>(layout.exchange)]);
  if (layout.micro_batches == 2) text += ", two micro-batches";
  if (layout.redundant_experts > 0) text += fmt::format(", {} redundant experts", layout.redundant_experts);
  return text;
}

std::string phase_text(const char* name, const PhasePlan& phase) {
  std::string terms_text;
  for (std::size_t i = 0; i < terms; ++i)
    if (const Term term = static_cast<Term>(i); phase.rate.time.share(term) >= 0.005)
      terms_text += fmt::format("{}{} {:.0f} %", terms_text.empty() ? "" : ", ", name_of(term),
                                100 * phase.rate.time.share(term));
  return fmt::format("{}: {:.0f} x {}; {:.0f} rows a GPU, a step of {:.1f} ms, {} tokens/s a GPU\n  {}\n", name,
                     phase.groups, layout_text(phase.layout), phase.rows_per_gpu, 1e3 * phase.rate.time.seconds(),
                     whole(phase.rate.tokens_per_second), terms_text);
}

std::string costs_text(const Question& question, const Plan& plan) {
  const Work& w = question.work;
  const double prefill = plan.prefill_gpu_hours(w), decode = plan.decode_gpu_hours(w);
  const double idle = plan.gpu_hours() - prefill - decode;
  std::string text = fmt::format("GPU-hours: prefill {}, decode {}, idle {} (last sequences {:.2f} h{})\n",
                                 money(prefill), money(decode), money(idle), plan.tail_hours,
                                 plan.is_split ? ", and GPUs that wait for the other phase" : "");
  if (plan.hardware->power_watts)
    text += fmt::format("energy: {} kWh\n", money(plan.gpu_hours() * *plan.hardware->power_watts / 1000));
  if (!plan.is_priced) return text;
  const auto million = [&](double gpu_hours, double tokens) {
    return gpu_hours * plan.gpu_hour_price / (tokens / 1e6);
  };
  text += fmt::format(
      "{} per million tokens: computed input {:.3f}, cached input 0, output {:.3f}, all {:.3f} (with idle)\n",
      currency_of(question, plan), w.computed_tokens() > 0 ? million(prefill, w.prompts * w.computed_tokens()) : 0.0,
      million(decode, w.prompts * w.output.mean),
      million(plan.gpu_hours(), w.prompts * (w.input.mean + w.output.mean)));
  return text;
}

// GPU-seconds of a prompt in both phases of the plan, on this machine.
double prompt_seconds(const Plan& plan, const Work& work, const Hardware& hardware) {
  const Setting prefill{*plan.model, hardware, plan.precision, plan.prefill.layout};
  const Setting decode{*plan.model, hardware, plan.precision, plan.decode.layout};
  const double prompt_rate = prefill_rate(prefill, plan.prefill.rows_per_gpu, work.input.of_token).tokens_per_second;
  const double generated_rate = decode_rate(decode, {plan.decode.rows_per_gpu, work.context()}).tokens_per_second;
  return work.computed_tokens() / prompt_rate + work.output.mean / generated_rate;
}

void raise(std::optional<double>& rate, double factor) {
  if (rate) *rate *= factor;
}

std::string bound_text(const Plan& plan, const Work& work) {
  const auto gains = sensitivities(plan, work);
  std::string text = fmt::format("bound: {}; with 20 % more the work takes less time by:", gains.front().first);
  for (const auto& gain : gains) text += fmt::format(" {} {:.1f} %,", gain.first, 100 * gain.second);
  text.back() = '\n';
  return text;
}

std::string table_row(const Plan& plan, const Band& band) {
  const std::string cost = plan.is_priced ? fmt::format("{} ({} to {})", money(plan.cost()),
                                                        money(plan.cost() * band.low), money(plan.cost() * band.high))
                                          : "no price";
  return fmt::format("  {:<12} {:>5} {:>10} {:>28} {:>8.1f} {:>10}  {}{}\n", plan.hardware->name, plan.gpus,
                     hours_text(plan.hours), cost, plan.user_tokens_per_second,
                     fmt::format("EP{}{}", plan.decode.layout.gpus, plan.decode.layout.micro_batches == 2 ? " x2" : ""),
                     plan.is_split ? "phases apart" : "one pool", band.unchecked.empty() ? "" : ", unchecked");
}

std::string table(const std::vector<Plan>& plans, const std::vector<Checked>& checked, Listing listing) {
  std::string text =
      fmt::format("  {:<12} {:>5} {:>10} {:>28} {:>8} {:>10}  phases\n", "", "GPUs", "time", "cost", "a user", "group");
  std::map<const Hardware*, std::size_t> rows;
  std::uint64_t more = 0;
  for (const Plan& plan : plans) {
    if (++rows[plan.hardware] > best_of_machine && listing == Listing::Best)
      ++more;
    else
      text += table_row(plan, band_of(plan, checked));
  }
  return more == 0 ? text : text + fmt::format("  and {} more (--all)\n", more);
}

std::string left_out_text(const Search& search) {
  std::string text;
  for (const auto& [reason, count] : search.left_out)
    text += fmt::format("left out: {}: {}\n", counted(count, "setting", "settings"), reason);
  return text;
}

}  // namespace

Band band_of(const Plan& plan, const std::vector<Checked>& checked) {
  std::vector<double> ratios;
  Band band;
  for (const Checked& one : checked)
    if (is_like(plan, one)) ratios.push_back(1 + one.error());
  if (ratios.size() < fewest_points) {
    band.unchecked = fmt::format("too few published points of {} with these phases", plan.hardware->family);
    ratios.clear();
    for (const Checked& one : checked) ratios.push_back(1 + one.error());
  }
  if (plan.decode.rows_per_gpu < fewest_rows) band.unchecked = fmt::format("fewer than {:.0f} rows a GPU", fewest_rows);
  std::sort(ratios.begin(), ratios.end());
  if (!ratios.empty())
    band.low = std::min(1.0, quantile(ratios, 0.1)), band.high = std::max(1.0, quantile(ratios, 0.9));
  if (!band.unchecked.empty()) band.low /= unchecked_factor, band.high *= unchecked_factor;
  return band;
}

std::vector<std::pair<const char*, double>> sensitivities(const Plan& plan, const Work& work) {
  constexpr double better = 1.2;
  struct Change {
    const char* figure;
    void (*apply)(Hardware&);
  };
  constexpr Change changes[] = {
      {"memory rate", [](Hardware& h) { h.memory_bytes_per_second *= better; }},
      {"bf16 peak", [](Hardware& h) { raise(h.bf16_flops, better); }},
      {"peak of lower precision",
       [](Hardware& h) { raise(h.fp8_flops, better), raise(h.int8_ops, better), raise(h.fp4_flops, better); }},
      {"scale-up link", [](Hardware& h) { h.scale_up_bytes_per_second *= better; }},
      {"network", [](Hardware& h) { raise(h.network_bytes_per_second, better); }},
      {"shorter kernel starts and latencies",
       [](Hardware& h) {
         Efficiencies& e = h.efficiencies;
         e.kernel_us /= better, e.scale_up_latency_us /= better, e.network_latency_us /= better;
       }},
  };
  const double now = prompt_seconds(plan, work, *plan.hardware);
  std::vector<std::pair<const char*, double>> gains;
  for (const Change& change : changes) {
    Hardware machine = *plan.hardware;
    change.apply(machine);
    gains.emplace_back(change.figure, 1 - prompt_seconds(plan, work, machine) / now);
  }
  std::stable_sort(gains.begin(), gains.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return gains;
}

std::string best_text(const Question& question, const Search& search, const std::vector<Checked>& checked) {
  expect(!search.plans.empty(), "there is a plan");
  return first_line(question, search.plans.front(), band_of(search.plans.front(), checked));
}

std::string answer_text(const Question& question, const Search& search, const std::vector<Checked>& checked,
                        Listing listing) {
  if (search.plans.empty()) {
    if (search.beyond.empty()) return "no layout is possible on these GPUs\n" + left_out_text(search);
    return "no layout keeps all limits; the cheapest of each machine and number of GPUs without them:\n" +
           table(search.beyond, checked, listing) + left_out_text(search);
  }
  const Plan& best = search.plans.front();
  const Band band = band_of(best, checked);
  std::string text = first_line(question, best, band) + "\n";
  text += fmt::format("speed: published kernels of other programs, not moemill's own{}\n",
                      band.unchecked.empty() ? "" : "; unchecked: " + band.unchecked);
  text += fmt::format("precision: {} weights, {} projections, {} cache; {:.1f} tokens/s a user\n",
                      name_of(best.precision.weights), name_of(best.precision.projections),
                      best.precision.cache == CacheFormat::Fp8 ? "fp8" : "bf16", best.user_tokens_per_second);
  if (question.work.computed_tokens() > 0) text += phase_text("prefill", best.prefill);
  text += phase_text("decode", best.decode);
  if (!best.is_split) text += "both phases run on the same GPUs, in turn\n";
  text += bound_text(best, question.work);
  text += costs_text(question, best);
  text += "best layout of each machine and number of GPUs:\n" + table(search.plans, checked, listing) +
          left_out_text(search);
  const Work& w = question.work;
  if (w.input.longest == w.input.mean && w.output.longest == w.output.mean)
    text += "all lengths are taken as equal: files of lengths give a longer tail and longer contexts\n";
  text += "loading of weights and failures are not in it\n";
  return text;
}

}  // namespace moemill::estimate
