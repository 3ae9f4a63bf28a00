#include "plan/answer/search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "plan/answer/machine_search.hpp"

namespace moemill::estimate {
namespace {

constexpr std::uint32_t nodes_to_try[] = {1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 32, 48, 64};

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

Setting Plan::setting(const PhasePlan& phase) const { return {*model, *hardware, precision, phase.layout}; }

bool keeps(const Plan& plan, const Limits& limits) {
  if (limits.tokens_per_second_per_user && plan.user_tokens_per_second < *limits.tokens_per_second_per_user)
    return false;
  if (limits.hours && plan.hours > *limits.hours) return false;
  return !limits.budget || (plan.is_priced && plan.cost() <= *limits.budget);
}

Precision published_precision(const model::ModelConfig& model, const Hardware& hardware) {
  if (hardware.measured && hardware.int8_ops) return {Format::Int8, Format::Int8, CacheFormat::Bf16};
  switch (model.quantization.format) {
    case model::WeightFormat::Plain: break;
    case model::WeightFormat::Fp8:
      if (hardware.fp8_flops) return {Format::Fp8, Format::Fp8, CacheFormat::Bf16};
      if (hardware.int8_ops) return {Format::Int8, Format::Int8, CacheFormat::Bf16};
      break;
    case model::WeightFormat::Mxfp4:
      // Chips that compute in 4 bits also decode such weights for fp8 rows.
      if (hardware.measured) return {Format::Mxfp4Bf16, Format::Bf16, CacheFormat::Bf16};
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
      const BestPlans best = MachineSearch(question, model, hardware, gpus, found).best();
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
