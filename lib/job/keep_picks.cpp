#include "job/keep_picks.hpp"

#include <exception>
#include <utility>

#include "base/log.hpp"
#include "base/text/format.hpp"
#include "dataset/run_dir/picks_file.hpp"
#include "layers/pick_record.hpp"

namespace moemill::mill {

static_assert(layers::PickRecord::most_bytes <= dataset::most_picks_bytes);

void keep_picks(Engine& engine, const model::ModelConfig& model, const dataset::RunManifest& run,
                const std::string& path) {
  layers::PickRecord* const record = engine.picks();
  if (!record || record->steps == 0 || model.moe.experts == 0) return;
  dataset::RecordedPicks picks;
  picks.model_type = model.model_type;
  if (const auto found = run.fingerprints.find("model_sha256"); found != run.fingerprints.end())
    picks.model_sha256 = found->second;
  picks.attempt = run.attempts, picks.steps = record->steps;
  picks.experts = model.moe.experts, picks.picks = model.moe.picks;
  for (std::size_t layer = 0; layer < record->of_layer.size(); ++layer) {
    if (record->of_layer[layer].empty()) continue;
    picks.layers.push_back(static_cast<std::int32_t>(layer));
    picks.of_layer.push_back(std::move(record->of_layer[layer]));
  }
  try {
    dataset::write_picks(path, picks);
    log::info("{}: the picks of {} rows in {}", path, thousands(picks.rows()), counted(picks.steps, "step", "steps"));
  } catch (const std::exception& e) {
    log::warning("runtime.record_picks: {}", e.what());
  }
}

}  // namespace moemill::mill
