#include "plan/calibration/calibration.hpp"

#include "model/layer_counts.hpp"

namespace moemill::calibration {

ModelShape shape_of(const model::ModelConfig& config) {
  const model::LayerCounts counts = model::count_layers(config);
  const auto parameters = [&](model::Pass pass) {
    return static_cast<double>(counts.projections(pass).before + counts.projections(pass).after);
  };
  ModelShape shape;
  shape.model_type = config.model_type;
  shape.moe_layers = counts.moe_layers, shape.dense_layers = counts.dense_layers;
  shape.hidden = config.hidden, shape.vocabulary = config.vocabulary;
  // A model without routed experts has sizes of them in its config all the same.
  shape.experts = counts.moe_layers > 0 ? config.moe.experts : 0;
  shape.picks = counts.moe_layers > 0 ? config.moe.picks : 0;
  shape.prompt_projections = parameters(model::Pass::Prompt);
  shape.generated_projections = parameters(model::Pass::Generated);
  shape.prompt_core_flops = counts.prompt_core_flops;
  shape.generated_core_flops = counts.generated_core_flops;
  shape.kv_width = model::kv_width(config);
  if (counts.moe_layers > 0) {
    shape.expert = static_cast<double>(counts.expert);
    shape.shared_expert = static_cast<double>(counts.shared_expert);
  }
  if (counts.dense_layers > 0) shape.dense_mlp = static_cast<double>(counts.dense_mlp);
  return shape;
}

const char* name_of(Drawing drawing) {
  constexpr const char* names[drawings] = {"greedy", "temperature", "top_k", "top_p", "logprobs", "score"};
  return names[static_cast<std::size_t>(drawing)];
}

Drawing drawing_of(const SamplingParams& params) {
  if (params.logprobs) return Drawing::Logprobs;
  if (params.temperature < 1e-5f) return Drawing::Greedy;  // as sample/requests.hpp defines it
  if (params.top_p < 1) return Drawing::TopP;
  return params.top_k > 0 ? Drawing::TopK : Drawing::Temperature;
}

}  // namespace moemill::calibration
