#include "layers/cpu/attention/attention.hpp"

namespace moemill::cpu {

namespace {

using AnyAttention = std::variant<LatentAttention, GroupedAttention>;

AnyAttention make_attention(Stream& stream, const model::ModelConfig& config, KvCache& cache) {
  if (config.attention == model::AttentionKind::Latent)
    return AnyAttention(std::in_place_type<LatentAttention>, stream, config, cache);
  return AnyAttention(std::in_place_type<GroupedAttention>, stream, config, cache);
}

}  // namespace

Attention::Attention(Stream& stream, const model::ModelConfig& config, KvCache& cache)
    : attention_(make_attention(stream, config, cache)) {}

void Attention::reserve(std::size_t rows) {
  std::visit([&](auto& attention) { attention.reserve(rows); }, attention_);
}

void Attention::prepare(const AttentionPlan& plan, Work& work) const {
  work.plan = &plan;
  if (const auto* grouped = std::get_if<GroupedAttention>(&attention_))
    grouped->make_tiles(plan, work.grouped);
  else
    make_tiles(plan, work.latent);
}

void Attention::run(const model::LayerWeights& weights, LayerId layer, const Work& work, Rows<const bf16> rounded,
                    Rows<const float> exact, Rows<float> out) {
  if (auto* grouped = std::get_if<GroupedAttention>(&attention_))
    grouped->run(std::get<model::GqaWeights>(weights.attention), layer, *work.plan, work.grouped, exact, out);
  else
    std::get<LatentAttention>(attention_)
        .run(std::get<model::MlaWeights>(weights.attention), layer, *work.plan, work.latent, rounded, out);
}

std::uint64_t Attention::workspace_bytes() const {
  return std::visit([](const auto& attention) { return attention.workspace_bytes(); }, attention_);
}

}  // namespace moemill::cpu
