#include "plan/answer/machine_search.hpp"

#include <fmt/format.h>

#include <fmt/ranges.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <span>

#include "plan/answer/words.hpp"

namespace moemill::estimate {
namespace {

constexpr std::array<double, 3> prompt_rows = {4096, 8192, 16384};
constexpr std::array<double, 1> prompt_rows_of_rank = {2048};  // of a step; prompts are computed in pieces
constexpr double batch_step = 1.15;                            // between batches that are tried

// An eighth of the experts in redundancy is what published systems take to balance their load.
std::uint32_t balancing_experts(std::uint32_t experts, std::uint32_t gpus) {
  return round_up(experts + experts / 8, gpus) - experts;
}

std::optional<double> price_of(const Question& question, const Hardware& hardware) {
  const bool is_cpu = hardware.measured;
  if (question.hour_price) return *question.hour_price / (is_cpu ? hardware.gpus_per_node : 1);
  if (!hardware.price) return std::nullopt;
  if (hardware.price->unit == "core") return hardware.price->per_hour * hardware.threads_per_rank;
  return hardware.price->per_hour / (hardware.price->unit == "node" ? hardware.gpus_per_node : 1);
}

Words formats_of(const Hardware& hardware) {
  Words names;
  for (const auto& [name, peak] : {std::pair("bf16", hardware.bf16_flops),
                                   {"fp8", hardware.fp8_flops},
                                   {"int8", hardware.int8_ops},
                                   {"fp4", hardware.fp4_flops}})
    if (peak) names.push_back(name);
  return names;
}

}  // namespace

MachineSearch::MachineSearch(const Question& question, const model::ModelConfig& model, const Hardware& hardware,
                             std::uint32_t gpus, Search& found)
    : q_(question), model_(model), hardware_(hardware), gpus_(gpus), found_(found) {
  precision_ = question.precision ? *question.precision : published_precision(model, hardware);
  price_ = price_of(question, hardware);
}

void MachineSearch::leave_out(const std::string& reason, const std::string& what) {
  found_.left_out[reason].push_back(fmt::format("{}, {} GPUs{}", hardware_.name, gpus_, what));
}

std::string MachineSearch::described(const Layout& layout) const {
  return fmt::format(": {}{}", group_text(layout),
                     layout.redundant_experts > 0 ? fmt::format(", {} redundant", layout.redundant_experts) : "");
}

BestPlans MachineSearch::best() {
  for (const Format format : {precision_.weights, precision_.projections})
    if (!computes_in(format, hardware_)) {
      leave_out(fmt::format("{} does not compute in {}, but in {}", hardware_.name, name_of(format),
                            fmt::join(formats_of(hardware_), ", ")),
                "");
      return {};
    }
  const std::vector<Group> all = groups();
  prefills_ = fastest_prefills(all);
  for (const Group& group : all)
    if (!q_.group || group.layout.gpus == *q_.group) consider(group);
  return std::move(best_);
}

std::vector<Layout> MachineSearch::layouts() {
  std::vector<Layout> all;
  std::set<std::uint32_t> sizes(std::begin(group_sizes), std::end(group_sizes));
  sizes.insert(gpus_);
  if (q_.group) sizes.insert(*q_.group);
  for (std::uint32_t size : sizes) {
    if (size > gpus_) continue;
    if (size > hardware_.scale_up_gpus && !hardware_.network_bytes_per_second)
      leave_out("groups beyond the fast links of a machine without a network", fmt::format(": EP{}", size));
    else
      add_layouts(size, all);
  }
  return all;
}

void MachineSearch::add_layouts(std::uint32_t size, std::vector<Layout>& all) const {
  Layout layout;
  layout.gpus = size;
  if (model_.moe.groups > 1) layout.most_nodes = model_.moe.groups_kept;  // a group of experts lies on one node
  for (std::uint32_t micro_batches : {1u, 2u}) {
    if (size == 1 && micro_batches == 2) continue;
    layout.micro_batches = micro_batches;
    layout.balance = Balance::None;
    layout.redundant_experts = round_up(model_.moe.experts, size) - model_.moe.experts;
    all.push_back(layout);
    if (size == 1 || hardware_.measured) continue;  // ranks hold no redundant experts
    layout.balance = Balance::Balanced;
    layout.redundant_experts = balancing_experts(model_.moe.experts, size);
    all.push_back(layout);
  }
}

std::vector<MachineSearch::Group> MachineSearch::groups() {
  std::vector<Group> all;
  for (const Layout& layout : layouts())
    if (auto group = group_of(layout)) all.push_back(*group);
  return all;
}

std::optional<MachineSearch::Group> MachineSearch::group_of(const Layout& layout) {
  const MemoryUse use = memory_use(setting(layout), q_.work.room_tokens());
  const double room = std::floor(use.sequences());
  if (room < 1 || memory_use(setting(layout), q_.work.longest_tokens()).sequences() < 1) {
    leave_out(
        use.sequences() < 0 ? "the weights alone do not fit" : "no room beside the weights for the longest sequence",
        described(layout));
    return std::nullopt;
  }
  const double rate = hardware_.efficiencies.load_gbytes_per_second * 1e9;
  return Group{layout, room, best_prefill(layout), (use.weights_bytes + use.redundant_bytes) / rate / 3600};
}

// For phases on GPUs of their own: prompts go to the fastest group of a size.
std::vector<const MachineSearch::Group*> MachineSearch::fastest_prefills(const std::vector<Group>& groups) const {
  std::map<std::uint32_t, const Group*> fastest;
  for (const Group& group : groups) {
    const Group*& best = fastest[group.layout.gpus];
    if (!best || group.prefill.rate.tokens_per_second > best->prefill.rate.tokens_per_second) best = &group;
  }
  std::vector<const Group*> all;
  for (const auto& of_size : fastest) all.push_back(of_size.second);
  return all;
}

// The fastest exchange, number of micro-batches and of rows for prompts on the same group. A step has no more rows than
// a GPU's share of the work, which is one prompt at least.
PhasePlan MachineSearch::best_prefill(const Layout& group) const {
  const Work& w = q_.work;
  const double share = std::max(1.0, std::max(1.0, w.prompts / gpus_) * w.computed_tokens());
  const std::span<const double> rows = hardware_.measured ? std::span<const double>(prompt_rows_of_rank) : prompt_rows;
  std::optional<PhasePlan> best;
  for (Exchange exchange : {Exchange::OnceAGpu, Exchange::OnceANode, Exchange::AllGather}) {
    if (hardware_.measured && best) break;  // ranks have one exchange
    for (std::uint32_t micro_batches : {1u, 2u})
      for (double most_rows : rows) {
        if (group.gpus == 1 && micro_batches == 2) continue;
        PhasePlan plan{group, 1, std::min(most_rows, share), {}};
        plan.layout.exchange = exchange;
        plan.layout.micro_batches = micro_batches;
        plan.rate = prefill_rate(setting(plan.layout), plan.rows_per_gpu, w.prompt_tokens(), w.cached_positions());
        if (!best || plan.rate.tokens_per_second > best->rate.tokens_per_second) best = plan;
      }
  }
  return *best;
}

double MachineSearch::prompt_seconds(const PhasePlan& prefill) const {
  return q_.work.computed_tokens() / prefill.rate.tokens_per_second;
}

void MachineSearch::consider(const Group& group) {
  layout_is_open_ = false;
  const bool divides = gpus_ % group.layout.gpus == 0;
  const double share = std::max(1.0, std::floor(q_.work.prompts / gpus_));
  const double most = q_.sequences_per_gpu ? *q_.sequences_per_gpu : std::min(group.room, share);
  if (most > group.room)
    return leave_out(fmt::format("no room for {:.0f} sequences per GPU", most), described(group.layout));
  for (Exchange exchange : {Exchange::EveryCopy, Exchange::AllGather}) {
    Layout layout = group.layout;
    layout.exchange = exchange;
    const double lone = decode_rate(setting(layout), {1, q_.work.context()}).time.seconds();
    if (!q_.sequences_per_gpu)
      for (double n = 1; n < most; n = std::max(n + 1, std::floor(n * batch_step)))
        consider_batch(group, exchange, n, lone);
    consider_batch(group, exchange, most, lone);
    if (group.layout.gpus == 1 || hardware_.measured) break;
  }
  if (layout_is_open_) return;
  const bool alone =
      hardware_.measured || prefills_.empty() || group.layout.gpus + prefills_.front()->layout.gpus > gpus_;
  leave_out(!divides && alone ? "groups that do not divide the GPUs" : "beyond the limits asked for",
            described(group.layout));
}

void MachineSearch::consider_batch(const Group& group, Exchange exchange, double sequences, double lone_seconds) {
  Batch batch{group, {group.layout, 0, sequences, {}}, 0, lone_seconds};
  batch.decode.layout.exchange = exchange;
  batch.decode.rate = decode_rate(setting(batch.decode.layout), {sequences, q_.work.context()});
  batch.decode.rate.room = group.room;
  batch.generated_seconds = q_.work.output.mean / batch.decode.rate.tokens_per_second;
  if (gpus_ % group.layout.gpus == 0) offer_pool(batch);
  if (q_.work.computed_tokens() == 0 || hardware_.measured) return;  // ranks do both phases in the same steps
  for (const Group* prefill : prefills_) {
    const double size = prefill->layout.gpus, most = std::floor((gpus_ - group.layout.gpus) / size);
    if (prefill->layout.gpus + group.layout.gpus > gpus_) break;
    const double prompt = prompt_seconds(prefill->prefill);
    if (is_dearer(prompt, batch)) continue;
    const double exact = gpus_ * prompt / (prompt + batch.generated_seconds) / size;
    const double below = std::clamp(std::floor(exact), 1.0, most);
    offer_split(batch, *prefill, below);
    if (below + 1 <= most) offer_split(batch, *prefill, below + 1);
  }
}

// Without any idle second it would cost more than the best plan.
bool MachineSearch::is_dearer(double prompt_seconds, const Batch& batch) {
  const double least = q_.work.prompts * (prompt_seconds + batch.generated_seconds) / 3600;
  if (!best_.kept || least < best_.kept->gpu_hours()) return false;
  layout_is_open_ = true;
  return true;
}

// All GPUs do both phases in turn.
void MachineSearch::offer_pool(const Batch& batch) {
  const double prompt = prompt_seconds(batch.group.prefill);
  if (is_dearer(prompt, batch)) return;
  Plan plan;
  plan.prefill = batch.group.prefill, plan.decode = batch.decode;
  plan.prefill.groups = plan.decode.groups = gpus_ / batch.decode.layout.gpus;
  // Prompts of others stop an answer.
  const double seconds = batch.decode.rate.sequences * (prompt + batch.generated_seconds);
  plan.user_tokens_per_second = q_.work.output.mean / seconds;
  plan.load_hours = batch.group.load_hours;
  offer(std::move(plan), batch, prompt, gpus_ / (prompt + batch.generated_seconds));
}

// Groups of their own for each phase, of different sizes if that is better; the slower phase decides.
void MachineSearch::offer_split(const Batch& batch, const Group& prefill, double prefill_groups) {
  const double prompt = prompt_seconds(prefill.prefill);
  Plan plan;
  plan.is_split = true;
  plan.prefill = prefill.prefill, plan.decode = batch.decode;
  plan.prefill.groups = prefill_groups;
  plan.decode.groups = std::floor((gpus_ - plan.prefill.gpus()) / plan.decode.layout.gpus);
  if (plan.decode.groups < 1) return;
  plan.user_tokens_per_second = q_.work.output.mean / (batch.decode.rate.sequences * batch.generated_seconds);
  plan.load_hours = std::max(prefill.load_hours, batch.group.load_hours);
  offer(std::move(plan), batch, prompt,
        std::min(plan.prefill.gpus() / prompt, plan.decode.gpus() / batch.generated_seconds));
}

// Completes the plan: hours and cost. When no prompt is left, the longest sequence has all of its own tokens to go,
// which it generates at last alone. The others have half of an answer's (as a token sees it) on average, if many waves
// of sequences came before, and a whole answer's if they are the first wave and began together.
void MachineSearch::offer(Plan plan, const Batch& batch, double prompt_seconds, double prompts_per_second) {
  const Lengths& output = q_.work.output;
  const double full = batch.decode.rate.time.seconds();
  const double drain = output.of_token * full + (output.longest - output.of_token) * batch.lone_seconds;
  const double waves = std::max(1.0, q_.work.prompts / (batch.decode.rate.sequences * plan.decode.gpus()));
  const double left = output.of_token / 2 + (output.mean - output.of_token / 2) / waves;
  plan.tail_hours = std::max(0.0, drain - left * full) / 3600;
  // No work is shorter than its longest sequence.
  plan.hours = plan.load_hours +
               std::max(q_.work.prompts / prompts_per_second / 3600 + plan.tail_hours, (prompt_seconds + drain) / 3600);
  plan.gpus = gpus_;
  const bool keeps_cost = !best_.kept || plan.gpu_hours() < best_.kept->gpu_hours();
  plan.is_priced = price_.has_value();
  plan.gpu_hour_price = price_.value_or(0);
  const bool is_kept = keeps(plan, q_.limits);
  layout_is_open_ = layout_is_open_ || is_kept;
  plan.hardware = &hardware_, plan.model = &model_, plan.precision = precision_;
  if (!best_.any || plan.gpu_hours() < best_.any->gpu_hours()) best_.any = plan;
  if (is_kept && keeps_cost) best_.kept = std::move(plan);
}

}  // namespace moemill::estimate
