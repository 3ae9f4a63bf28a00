#include "bench/steps/cut_model.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <span>
#include <vector>

#include "model/placement.hpp"
#include "weights/cpu/weights.hpp"

namespace moemill::bench {
namespace {

// The layers of `config` whose numbers are given, in order.
model::ModelConfig with_layers(const model::ModelConfig& config, std::span<const std::size_t> kept) {
  model::ModelConfig out = config;
  out.layers = static_cast<std::uint32_t>(kept.size());
  out.layer_is_moe.clear(), out.gqa.layer_has_window.clear();
  for (const std::size_t layer : kept) {
    out.layer_is_moe.push_back(config.layer_is_moe[layer]);
    if (!config.gqa.layer_has_window.empty()) out.gqa.layer_has_window.push_back(config.gqa.layer_has_window[layer]);
  }
  return out;
}

}  // namespace

bool fits(const model::ModelConfig& config, std::uint32_t ranks, std::uint64_t bytes) {
  return model::weight_bytes(config, model::contiguous_slices(config, ranks), DomainRank{0}) <= bytes;
}

model::ModelConfig first_layers(const model::ModelConfig& config, std::uint32_t layers) {
  std::vector<std::size_t> kept(layers);
  std::iota(kept.begin(), kept.end(), std::size_t{0});
  return with_layers(config, kept);
}

model::ModelConfig cut_to_size(const model::ModelConfig& config, std::uint32_t ranks, std::uint64_t bytes) {
  std::vector<std::size_t> kept(config.layers);
  std::iota(kept.begin(), kept.end(), std::size_t{0});
  model::ModelConfig out = config;
  // Layers of the kind that there are more of go first, from the end; two of it are left.
  while (!fits(out, ranks, bytes) && kept.size() > 2) {
    const auto moe = static_cast<std::size_t>(std::count(out.layer_is_moe.begin(), out.layer_is_moe.end(), true));
    const bool drops_moe = moe >= kept.size() - moe;
    if ((drops_moe ? moe : kept.size() - moe) <= 2) break;
    const auto last = std::find_if(kept.rbegin(), kept.rend(),
                                   [&](std::size_t layer) { return config.layer_is_moe[layer] == drops_moe; });
    kept.erase(std::next(last).base());
    out = with_layers(config, kept);
  }
  while (!fits(out, ranks, bytes) && out.moe.experts % (2 * out.moe.groups) == 0 &&
         out.moe.experts / 2 >= out.moe.picks + ranks)
    out.moe.experts /= 2;
  return out;
}

}  // namespace moemill::bench
