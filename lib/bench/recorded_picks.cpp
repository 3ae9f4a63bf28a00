#include "bench/recorded_picks.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "weights/stored_model.hpp"

namespace moemill::bench {
namespace {

void check_shape(const dataset::RecordedPicks& file, const std::string& path, const std::string& dir,
                 const model::ModelConfig& config) {
  if (file.model_type != config.model_type)
    user_error("bench: --picks {}: recorded from a model of type {}, but --model {} is of type {}; name its own model",
               path, file.model_type, dir, config.model_type);
  std::vector<std::int32_t> layers;
  for (std::uint32_t l = 0; l < config.layers; ++l)
    if (config.layer_is_moe[l]) layers.push_back(static_cast<std::int32_t>(l));
  if (file.experts != config.moe.experts || file.picks != config.moe.picks || file.layers != layers)
    user_error(
        "bench: --picks {}: {} picks of {} experts in {} layers, but --model {} has {} of {} in {}; name its own model",
        path, file.picks, file.experts, file.layers.size(), dir, config.moe.picks, config.moe.experts, layers.size());
}

SameWeights compare_weights(const dataset::RecordedPicks& file, const std::string& path, const std::string& dir) {
  if (file.model_sha256.empty()) return SameWeights::Unknown;
  // A run with random weights knows its model by config.json alone.
  if (file.model_sha256 == model::model_fingerprint(dir, "dummy")) return SameWeights::Yes;
  if (!model::has_weights(dir)) return SameWeights::Unknown;
  const std::string here = model::model_fingerprint(dir, "auto");
  if (file.model_sha256 != here)
    user_error(
        "bench: --picks {}: recorded from another model of this shape (model_sha256 {}, but that of --model {} is {}); "
        "name its own model",
        path, file.model_sha256, dir, here);
  return SameWeights::Yes;
}

}  // namespace

PicksOfRun::PicksOfRun(const std::string& path, const std::string& dir, const model::ModelConfig& config)
    : file_(dataset::read_picks(path)) {
  check_shape(file_, path, dir, config);
  same_weights_ = compare_weights(file_, path, dir);
}

void PicksOfRun::copy(LayerId layer, std::uint64_t first_row, std::span<GlobalExpert> picks) const {
  const auto number = std::lower_bound(file_.layers.begin(), file_.layers.end(), layer.value) - file_.layers.begin();
  const std::vector<std::uint16_t>& from = file_.of_layer[static_cast<std::size_t>(number)];
  std::size_t at = first_row % file_.rows() * file_.picks;
  for (GlobalExpert& pick : picks) {
    pick = {from[at]};
    if (++at == from.size()) at = 0;
  }
}

}  // namespace moemill::bench
