#include "bench/print_simulated.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/build_info.hpp"
#include "base/text/format.hpp"
#include "bench/report.hpp"

namespace moemill::bench {
namespace {

double over(double value, double mean) { return mean > 0 ? value / mean : 1; }
double over(std::uint64_t value, std::uint64_t mean) {
  return over(static_cast<double>(value), static_cast<double>(mean));
}

std::uint64_t counted_rows(const SimulateOptions& o) { return std::uint64_t{o.layout.ranks} * o.layout.rows; }

// How the recorded rows became those of the step.
std::string recorded_text(const RecordedRows& recorded, std::uint64_t wanted) {
  std::string text = fmt::format("{} rows recorded in {} of attempt {}: ", thousands(recorded.rows),
                                 counted(recorded.steps, "step", "steps"), recorded.attempt);
  if (wanted > recorded.rows) {
    text += fmt::format("for the {} rows of all ranks each is counted {:.1f} times", thousands(wanted),
                        over(wanted, recorded.rows));
  } else {
    text += fmt::format("the first {} are counted, one for each row of all ranks", thousands(wanted));
  }
  if (recorded.same_weights == SameWeights::Unknown)
    text += "\nby a model of this type and shape; whether it had the same weights is unknown, as here are none";
  return text;
}

void print_placed(std::uint32_t redundant, const CountedExchange& x) {
  fmt::print("the same with experts placed by the load of other rows, {} redundant a layer\n", redundant);
  fmt::print("  {:>10.3f} nodes; {:.3f} all ranks\n", over(x.work.busiest_node, x.work.mean),
             over(x.work.busiest, x.work.mean));
  fmt::print("  {:>10.3f} GB between nodes; {:.2f} nodes compute a row's picks\n",
             static_cast<double>(x.inter_node_bytes) * 1e-9, over(x.row_nodes, x.rows));
}

void print_table(const SimulateOptions& o, const Simulated& result) {
  const CountedExchange& x = result.exchange;
  const std::string picks =
      o.picks.empty() ? fmt::format("picks by a power law of {}", o.power_law) : "picks of " + o.picks;
  fmt::print("{}: one expert domain of {} ranks on {} of {}, {} rows a rank, {}\n", o.model, o.layout.ranks,
             counted(x.nodes, "node", "nodes"), o.layout.ranks_per_node, o.layout.rows, picks);
  if (result.recorded) fmt::print("{}\n", recorded_text(*result.recorded, counted_rows(o)));
  fmt::print("\n");
  fmt::print("a step's {}, both ways, one micro-batch\n",
             counted(x.layers, "layer with experts", "layers with experts"));
  fmt::print("  {:>10.3f} GB between nodes, {:.3f} of the least: each row to a node once, its outputs home\n",
             static_cast<double>(x.inter_node_bytes) * 1e-9, over(x.inter_node_bytes, x.inter_node_minimum));
  fmt::print("  {:>10.3f} GB within nodes, where rows are read where they lie\n",
             static_cast<double>(x.intra_node_bytes) * 1e-9);
  fmt::print("  {:>10} messages; a rank sends {} to other nodes in a layer and way\n", x.messages, x.nodes - 1);
  fmt::print("  {:>10.2f} nodes of {} compute a row's picks; {:.2f} rows go out and {:.2f} come home for each\n",
             over(x.row_nodes, x.rows), x.nodes, over(x.rows_sent, x.rows), over(x.outputs_sent, x.rows));
  const CountedWork& w = x.work;
  fmt::print("cost of the experts' work, the busiest over the mean, all layers\n");
  fmt::print("  {:>10.3f} ranks of a node, which share its work\n", over(w.within_node, w.mean));
  fmt::print("  {:>10.3f} nodes\n", over(w.busiest_node, w.mean));
  fmt::print("  {:>10.3f} all ranks; {:.3f} if each computed the experts that it holds\n", over(w.busiest, w.mean),
             over(w.busiest_owner, w.mean));
  if (result.placed) print_placed(*o.redundant, *result.placed);
  if (result.run) {
    const CountedRun& r = *result.run;
    fmt::print("a run of {}{}, {}: {} prompt tokens ({} more shared by samples), {} generated\n",
               counted(result.prompts, "prompt", "prompts"), o.input.empty() ? "" : " of " + o.input,
               counted(r.answers, "answer", "answers"), thousands(r.prompt_rows), thousands(r.shared_rows),
               thousands(r.generated_tokens));
    if (result.failing_prompts > 0)
      fmt::print("  {:>10} prompts fail and are left out; moemill validate says why\n", result.failing_prompts);
    fmt::print("  {:>10} steps; the longest answer has {} tokens\n", r.steps, r.least_steps);
    fmt::print("  {:>10.3f} rows of a step, the mean rank's over the busiest one's\n", r.mean_over_max());
    fmt::print("  {:>10} steps at the end in which some rank has no rows, {:.1f} % of all\n", r.tail_steps,
               100 * over(r.tail_steps, r.steps));
  }
  fmt::print("counted in {:.1f} s", result.step_seconds + result.run_seconds);
  if (result.run) fmt::print(": {:.1f} s the step, {:.1f} s the run", result.step_seconds, result.run_seconds);
  fmt::print("\n");
}

void print_json(const SimulateOptions& o, const Simulated& result) {
  const CountedExchange& x = result.exchange;
  const CountedWork& w = x.work;
  nlohmann::ordered_json out{
      {"benchmark", "simulate"},
      {"commit", build_info::git_commit()},
      {"model", o.model},
      {"expert_domains", 1},
      {"ranks", o.layout.ranks},
      {"ranks_per_node", o.layout.ranks_per_node},
      {"nodes", x.nodes},
      {"rows_per_rank", o.layout.rows},
      {"picks", o.picks.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(o.picks)},
      {"recorded", nullptr},
      {"power_law", o.picks.empty() ? nlohmann::ordered_json(o.power_law) : nlohmann::ordered_json()},
      {"seed", o.seed},
      {"layers", x.layers},
      {"inter_node_bytes", x.inter_node_bytes},
      {"inter_node_bytes_minimum", x.inter_node_minimum},
      {"intra_node_bytes", x.intra_node_bytes},
      {"messages", x.messages},
      {"rows_sent", x.rows_sent},
      {"outputs_sent", x.outputs_sent},
      {"nodes_per_row", over(x.row_nodes, x.rows)},
      {"work_max_over_mean",
       {{"ranks_of_a_node", over(w.within_node, w.mean)},
        {"nodes", over(w.busiest_node, w.mean)},
        {"ranks", over(w.busiest, w.mean)},
        {"ranks_with_their_own_experts", over(w.busiest_owner, w.mean)}}},
      {"placed", nullptr},
      {"run", nullptr},
      {"seconds", result.step_seconds + result.run_seconds}};
  if (result.placed) {
    const CountedExchange& placed = *result.placed;
    out["placed"] = {{"redundant_experts", *o.redundant},
                     {"inter_node_bytes", placed.inter_node_bytes},
                     {"nodes_per_row", over(placed.row_nodes, placed.rows)},
                     {"work_max_over_mean",
                      {{"nodes", over(placed.work.busiest_node, placed.work.mean)},
                       {"ranks", over(placed.work.busiest, placed.work.mean)}}}};
  }
  if (result.recorded) {
    const RecordedRows& r = *result.recorded;
    out["recorded"] = {{"rows", r.rows},
                       {"steps", r.steps},
                       {"attempt", r.attempt},
                       {"counts_of_a_row", over(counted_rows(o), r.rows)},
                       {"same_weights", nullptr}};
    if (r.same_weights == SameWeights::Yes) out["recorded"]["same_weights"] = true;
  }
  if (result.run) {
    const CountedRun& r = *result.run;
    out["run"] = {{"input", o.input.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(o.input)},
                  {"prompts", result.prompts},
                  {"failing_prompts", result.failing_prompts},
                  {"answers", r.answers},
                  {"prompt_tokens", r.prompt_rows},
                  {"shared_prompt_tokens", r.shared_rows},
                  {"generated_tokens", r.generated_tokens},
                  {"steps", r.steps},
                  {"longest_answer", r.least_steps},
                  {"rows_mean_over_max", r.mean_over_max()},
                  {"tail_steps", r.tail_steps},
                  {"seconds", result.run_seconds}};
  }
  print(out);
}

}  // namespace

void print_simulated(const SimulateOptions& o, const Simulated& result) {
  o.form == Form::Json ? print_json(o, result) : print_table(o, result);
}

}  // namespace moemill::bench
