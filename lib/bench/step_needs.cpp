#include "bench/step_needs.hpp"

#include <algorithm>

#include "base/numbers/bf16.hpp"
#include "model/placement.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::bench {
namespace {

double rows_of(const StepShape& shape) {
  return static_cast<double>(shape.sequences) * (shape.workload == Workload::Decode ? 1 : shape.tokens);
}

double moe_layers(const model::ModelConfig& config) {
  return static_cast<double>(std::count(config.layer_is_moe.begin(), config.layer_is_moe.end(), true));
}

double cached_bytes(const StepShape& shape, const model::ModelConfig& config) {
  const bool decode = shape.workload == Workload::Decode;
  const std::uint32_t windowed = model::windowed_layers(config);
  const double all = decode ? shape.tokens + 1.0 : shape.tokens;
  const double in_window = decode ? std::min<double>(all, config.gqa.window) : all;
  return shape.sequences * ((config.layers - windowed) * all + windowed * in_window) * model::kv_width(config) *
         sizeof(bf16);
}

}  // namespace

NeededOperations needed_operations(const StepShape& shape, const model::ModelConfig& config) {
  // A prompt token at position t attends to t + 1 positions: (length + 1) / 2 on average. Each prompt has one row of
  // logits.
  const bool decode = shape.workload == Workload::Decode;
  const double context = decode ? shape.tokens + 1.0 : (shape.tokens + 1) / 2.0;
  const double a_row = decode ? model::flops_per_generated_token(config, context)
                              : model::flops_per_prompt_token(config, context, 1.0 / shape.tokens);
  const double int8 = config.arithmetic == Arithmetic::Int8 ? model::rounded_flops_per_token(config) : 0;
  const double fp32 = decode ? model::exact_flops_per_generated_token(config, context)
                             : model::exact_flops_per_prompt_token(config, context);
  return {rows_of(shape) * int8, rows_of(shape) * (a_row - int8 - fp32), rows_of(shape) * fp32};
}

NeededBytes needed_bytes(const StepShape& shape, const model::ModelConfig& config, std::uint32_t ranks,
                         double experts_picked) {
  const auto held = [&](std::uint32_t domain_ranks) {
    return static_cast<double>(
        model::weight_bytes(config, model::contiguous_slices(config, domain_ranks), DomainRank{0}));
  };
  const double replicated = held(config.moe.experts + 1);  // the first rank holds no expert
  const double experts = moe_layers(config) * config.moe.experts;
  const double row = static_cast<double>(config.hidden) * sizeof(bf16);  // of the embedding
  double unread = config.vocabulary * row;
  if (config.attention == model::AttentionKind::Latent) {
    const model::Mla& mla = config.mla;
    unread += static_cast<double>(config.layers) * mla.heads * mla.qk_nope_dim * mla.kv_lora_rank * sizeof(bf16);
  }
  NeededBytes out;
  out.experts = experts > 0 ? experts_picked / experts * (held(1) - replicated) : 0;
  out.replicated = ranks * (replicated - unread) + rows_of(shape) * row;
  out.cache = cached_bytes(shape, config);
  return out;
}

std::uint64_t experts_picked(std::span<const std::uint64_t> before, std::span<const std::uint64_t> after) {
  std::uint64_t picked = 0;
  for (std::size_t i = 0; i < after.size(); ++i) picked += after[i] != before[i] ? 1 : 0;
  return picked;
}

}  // namespace moemill::bench
