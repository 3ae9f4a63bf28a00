#include "plan/answer/search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>

#include "base/error.hpp"

namespace moemill::estimate {
namespace {

constexpr std::array<double, 3> prompt_rows = {4096, 8192, 16384};  // of a step; prompts are computed in pieces
constexpr std::uint32_t groups_to_try[] = {1, 2, 4, 8, 16, 24, 32, 48, 64, 72, 96, 128, 144, 256};
constexpr std::uint32_t nodes_to_try[] = {1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 32, 48, 64};
constexpr double batch_step = 1.15;  // between batches that are tried

// One machine and number of GPUs.
class PlanSearch {
 public:
  PlanSearch(const Question& question, const model::ModelConfig& model, const Hardware& hardware, std::uint32_t gpus,
             Search& found)
      : q_(question), model_(model), hardware_(hardware), gpus_(gpus), found_(found) {
    precision_ = question.precision ? *question.precision : published_precision(model, hardware);
    if (question.hour_price) {
      price_ = question.hour_price;
    } else if (hardware.price) {
      const bool per_node = hardware.price->unit == "node";
      price_ = hardware.price->per_hour / (per_node ? hardware.gpus_per_node : 1);
    }
  }

  // The cheapest plan that keeps the limits, and the cheapest at all.
  struct Best {
    std::optional<Plan> kept, any;
  };
  Best best() {
    const bool has_weights = computes_in(precision_.weights, hardware_);
    if (!has_weights || !computes_in(precision_.projections, hardware_))
      leave_out(fmt::format("{} does not compute in {}", hardware_.name,
                            name_of(has_weights ? precision_.projections : precision_.weights)));
    else
      for (const Layout& layout : layouts()) consider(layout);
    return std::move(best_);
  }

 private:
  Setting setting(const Layout& layout) const { return {model_, hardware_, precision_, layout}; }
  void leave_out(const std::string& reason) { ++found_.left_out[reason]; }

  std::vector<Layout> layouts();
  std::optional<PhasePlan> best_prefill(const Layout& group) const;
  void consider(const Layout& layout);
  void consider_batch(const Layout& layout, const PhasePlan& prefill, double sequences, double room);
  void offer(Plan plan, const Rate& decode, const PhasePlan& prefill);

  const Question& q_;
  const model::ModelConfig& model_;
  const Hardware& hardware_;
  const std::uint32_t gpus_;
  Search& found_;
  Precision precision_;
  std::optional<double> price_;
  Best best_;
};

// An eighth of the experts in redundancy is what published systems take to balance their load.
std::uint32_t balancing_experts(std::uint32_t experts, std::uint32_t gpus) {
  const std::uint32_t wanted = experts + experts / 8;
  return (wanted + gpus - 1) / gpus * gpus - experts;
}

std::vector<Layout> PlanSearch::layouts() {
  std::vector<Layout> all;
  std::set<std::uint32_t> sizes(std::begin(groups_to_try), std::end(groups_to_try));
  sizes.insert(gpus_);
  for (std::uint32_t size : sizes) {
    if (size > gpus_) continue;
    Layout layout;
    layout.gpus = size;
    if (model_.moe.groups > 1) layout.most_nodes = model_.moe.groups_kept;  // a group of experts lies on one node
    if (gpus_ % size != 0) {
      leave_out("groups that do not divide the GPUs");
      continue;
    }
    if (size > hardware_.scale_up_gpus && !hardware_.network_bytes_per_second) {
      leave_out("groups beyond the fast links of a machine without a network");
      continue;
    }
    for (std::uint32_t micro_batches : {1u, 2u}) {
      if (size == 1 && micro_batches == 2) continue;
      layout.micro_batches = micro_batches;
      layout.balance = Balance::None;
      layout.redundant_experts = (size - model_.moe.experts % size) % size;
      all.push_back(layout);
      if (size == 1) continue;
      layout.balance = Balance::Balanced;
      layout.redundant_experts = balancing_experts(model_.moe.experts, size);
      all.push_back(layout);
    }
  }
  return all;
}

// The fastest exchange, number of micro-batches and of rows for prompts on the same group. A step has no more rows than
// a GPU's share of the work, which is one prompt at least.
std::optional<PhasePlan> PlanSearch::best_prefill(const Layout& group) const {
  const double share = std::max(1.0, std::max(1.0, q_.work.prompts / gpus_) * q_.work.computed_tokens());
  std::optional<PhasePlan> best;
  for (Exchange exchange : {Exchange::OnceAGpu, Exchange::OnceANode, Exchange::AllGather})
    for (std::uint32_t micro_batches : {1u, 2u})
      for (double most_rows : prompt_rows) {
        const double rows = std::min(most_rows, share);
        PhasePlan plan{group, 1, rows, {}};
        plan.layout.exchange = exchange;
        plan.layout.micro_batches = micro_batches;
        plan.rate = prefill_rate(setting(plan.layout), rows, q_.work.input.of_token);
        if (!best || plan.rate.tokens_per_second > best->rate.tokens_per_second) best = plan;
        if (group.gpus == 1) return best;
      }
  return best;
}

void PlanSearch::consider(const Layout& layout) {
  const double room = std::floor(memory_use(setting(layout), q_.work.room_tokens()).sequences());
  if (room < 1 || memory_use(setting(layout), q_.work.longest_tokens()).sequences() < 1)
    return leave_out("no room beside the weights for the longest sequence");
  const std::optional<PhasePlan> prefill = best_prefill(layout);
  const double most = std::min(room, std::max(1.0, std::floor(q_.work.prompts / gpus_)));
  for (double sequences = 1; sequences < most; sequences = std::max(sequences + 1, std::floor(sequences * batch_step)))
    consider_batch(layout, *prefill, sequences, room);
  consider_batch(layout, *prefill, most, room);
}

void PlanSearch::consider_batch(const Layout& layout, const PhasePlan& prefill, double sequences, double room) {
  for (Exchange exchange : {Exchange::EveryCopy, Exchange::AllGather}) {
    Plan plan;
    plan.hardware = &hardware_, plan.model = &model_, plan.gpus = gpus_, plan.precision = precision_;
    plan.decode = {layout, 1, sequences, {}};
    plan.decode.layout.exchange = exchange;
    const Rate decode = decode_rate(setting(plan.decode.layout), {sequences, q_.work.context()});
    plan.decode.rate = decode;
    plan.decode.rate.room = room;
    offer(plan, decode, prefill);
    // Groups of their own for each phase.
    plan.is_split = gpus_ >= 2 * layout.gpus;
    if (plan.is_split) offer(plan, decode, prefill);
    if (layout.gpus == 1) return;
  }
}

// Completes the plan: shares of the GPUs, hours, cost.
void PlanSearch::offer(Plan plan, const Rate& decode, const PhasePlan& prefill) {
  const Work& w = q_.work;
  plan.prefill = prefill;
  const double group = plan.decode.layout.gpus, groups = gpus_ / group;
  const Phases phases{w.computed_tokens(), w.output.mean, prefill.rate.tokens_per_second, decode.tokens_per_second};
  const double prompt_share = phases.prompt_tokens / phases.prefill_tokens_per_second;
  const double generated_share = phases.generated_tokens / phases.decode_tokens_per_second;
  double prompts_a_second = prompts_per_second(phases, gpus_);
  plan.prefill.groups = plan.decode.groups = groups;
  double sequence_seconds = decode.sequences * (prompt_share + generated_share);  // in one pool, prompts stop answers
  if (plan.is_split) {
    const double exact = groups * prompt_share / (prompt_share + generated_share);
    plan.prefill.groups = std::clamp(std::round(exact), 1.0, groups - 1);
    plan.decode.groups = groups - plan.prefill.groups;
    prompts_a_second = w.computed_tokens() > 0
                           ? prompts_per_second(phases, plan.prefill.groups * group, plan.decode.groups * group)
                           : plan.decode.groups * group / generated_share;
    sequence_seconds = decode.sequences * generated_share;
  }
  plan.user_tokens_per_second = w.output.mean / sequence_seconds;
  // The longest sequences end last; half of the others are done meanwhile, on average.
  plan.tail_hours = sequence_seconds * w.output.longest / w.output.mean / 2 / 3600;
  // No work is shorter than its longest sequence, which is twice the tail.
  plan.hours = std::max(w.prompts / prompts_a_second / 3600, plan.tail_hours) + plan.tail_hours;
  plan.is_priced = price_.has_value();
  plan.gpu_hour_price = price_.value_or(0);
  const auto cheaper = [](const Plan& a, const std::optional<Plan>& b) { return !b || a.gpu_hours() < b->gpu_hours(); };
  if (cheaper(plan, best_.any)) best_.any = plan;
  if (!keeps(plan, q_.limits)) return leave_out("beyond the limits asked for");
  if (cheaper(plan, best_.kept)) best_.kept = plan;
}

std::set<std::uint32_t> numbers_of_gpus(const Question& question, const Hardware& hardware) {
  std::set<std::uint32_t> numbers(question.gpus.begin(), question.gpus.end());
  for (std::uint32_t nodes : question.nodes) numbers.insert(nodes * hardware.gpus_per_node);
  if (!numbers.empty()) return numbers;
  for (std::uint32_t nodes : nodes_to_try) numbers.insert(nodes * hardware.gpus_per_node);
  return numbers;
}

void sort_by_cost(std::vector<Plan>& plans) {
  std::stable_sort(plans.begin(), plans.end(), [](const Plan& a, const Plan& b) {
    if (a.is_priced != b.is_priced) return a.is_priced;
    return a.is_priced ? a.cost() < b.cost() : a.gpu_hours() < b.gpu_hours();
  });
}

}  // namespace

double Plan::prefill_gpu_hours(const Work& work) const {
  return work.prompts * work.computed_tokens() / prefill.rate.tokens_per_second / 3600;
}

double Plan::decode_gpu_hours(const Work& work) const {
  return work.prompts * work.output.mean / decode.rate.tokens_per_second / 3600;
}

bool keeps(const Plan& plan, const Limits& limits) {
  if (limits.tokens_per_second_per_user && plan.user_tokens_per_second < *limits.tokens_per_second_per_user)
    return false;
  if (limits.hours && plan.hours > *limits.hours) return false;
  return !limits.budget || (plan.is_priced && plan.cost() <= *limits.budget);
}

Precision published_precision(const model::ModelConfig& model, const Hardware& hardware) {
  switch (model.quantization.format) {
    case model::WeightFormat::Plain: break;
    case model::WeightFormat::Fp8:
      if (hardware.fp8_flops) return {Format::Fp8, Format::Fp8, CacheFormat::Bf16};
      if (hardware.int8_ops) return {Format::Int8, Format::Int8, CacheFormat::Bf16};
      break;
    case model::WeightFormat::Mxfp4:
      // Chips that compute in 4 bits also decode such weights for fp8 rows.
      return {hardware.fp4_flops ? Format::Mxfp4Fp8 : Format::Mxfp4Bf16, Format::Bf16, CacheFormat::Bf16};
  }
  return {};
}

Search search_plans(const Question& question, Catalog& catalog) {
  Search found;
  const model::ModelConfig& model = catalog.model(question.model);
  for (const std::string& name : question.hardware) {
    const Hardware& hardware = catalog.hardware(name);
    for (std::uint32_t gpus : numbers_of_gpus(question, hardware)) {
      const auto best = PlanSearch(question, model, hardware, gpus, found).best();
      if (best.kept)
        found.plans.push_back(*best.kept);
      else if (best.any)
        found.beyond.push_back(*best.any);
    }
  }
  sort_by_cost(found.plans);
  sort_by_cost(found.beyond);
  return found;
}

}  // namespace moemill::estimate
