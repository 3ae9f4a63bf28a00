#include "layers/cache_pages.hpp"

#include "base/numbers/bf16.hpp"

namespace moemill::layers {

using schedule::PageGroup;

PageGroup page_group(const model::ModelConfig& config, LayerId layer) {
  const bool windowed = config.attention == model::AttentionKind::Grouped && !config.gqa.layer_has_window.empty() &&
                        config.gqa.layer_has_window[static_cast<std::size_t>(layer.value)];
  return windowed ? PageGroup::Window : PageGroup::Full;
}

std::uint64_t page_bytes(const model::ModelConfig& config, PageGroup group) {
  const std::uint64_t windowed = model::windowed_layers(config);
  const std::uint64_t layers = group == PageGroup::Window ? windowed : config.layers - windowed;
  return layers * schedule::page_tokens * model::kv_width(config) * sizeof(bf16);
}

}  // namespace moemill::layers
