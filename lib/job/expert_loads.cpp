#include "job/expert_loads.hpp"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <optional>

#include "base/error.hpp"
#include "base/log.hpp"
#include "dataset/run_dir/expert_load_file.hpp"
#include "system/comm/agree.hpp"

namespace moemill::mill {
namespace {

bool is_measured(const RunConfig& config, const model::ModelConfig& model) {
  return config.parallel.rebalance_policy == "measured" && model.moe.experts > 0;
}

dataset::MeasuredLoad load_of(const model::ModelConfig& model, const dataset::RunManifest& run,
                              std::span<const std::uint64_t> counts) {
  dataset::MeasuredLoad load;
  load.model_type = model.model_type;
  if (const auto found = run.fingerprints.find("model_sha256"); found != run.fingerprints.end())
    load.model_sha256 = found->second;
  load.experts = model.moe.experts;
  for (std::uint32_t l = 0; l < model.layers; ++l)
    if (model.layer_is_moe[l]) load.layers.push_back(static_cast<std::int32_t>(l));
  load.counts.assign(counts.begin(), counts.end());
  return load;
}

enum class Say { Warning, Nothing };

// The file's counts, if they are of that model.
std::optional<dataset::MeasuredLoad> read_same(const std::string& path, const dataset::MeasuredLoad& model, Say say) {
  std::string fault;
  try {
    auto found = dataset::read_expert_load(path);
    if (!found || found->is_of(model)) return found;
    fault = path + ": is of another model";
  } catch (const std::exception& e) {  // damaged, or unreadable
    fault = e.what();
  }
  if (say == Say::Warning) log::warning("{}; it is ignored: experts are placed as if all counted alike", fault);
  return std::nullopt;
}

}  // namespace

std::vector<std::uint64_t> loads_of_run(const Comm& world, const RunConfig& config, const model::ModelConfig& model,
                                        const dataset::RunManifest& run, const dataset::RunPaths& paths) {
  if (!is_measured(config, model)) return {};
  std::vector<std::uint64_t> loads;
  run_on_rank_zero(world, [&] {
    if (auto found = read_same(paths.expert_load(), load_of(model, run, {}), Say::Warning))
      loads = std::move(found->counts);
  });
  const std::vector<std::byte> bytes = world.broadcast(std::as_bytes(std::span(loads)), 0);
  loads.resize(bytes.size() / sizeof(std::uint64_t));
  std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(loads)).begin());
  return loads;
}

void keep_loads(const RunConfig& config, const model::ModelConfig& model, const dataset::RunManifest& run,
                const dataset::RunPaths& paths, std::span<const std::uint64_t> counts) {
  const bool some = std::any_of(counts.begin(), counts.end(), [](std::uint64_t count) { return count > 0; });
  if (!is_measured(config, model) || !some) return;
  try {
    dataset::MeasuredLoad load = load_of(model, run, counts);
    if (const auto before = read_same(paths.expert_load(), load, Say::Nothing)) load.add(*before);
    dataset::write_expert_load(paths.expert_load(), load);
  } catch (const std::exception& e) {
    log::warning("parallel.rebalance: the load of the experts is not kept: {}", e.what());
  }
}

}  // namespace moemill::mill
