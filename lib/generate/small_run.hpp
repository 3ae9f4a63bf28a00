// Generates a few prompts in memory, on one rank or several. Called by preview and replay. The rows are those of a run,
// because both use Generator.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "dataset/prompts/prompts.hpp"
#include "generate/engine.hpp"
#include "generate/model_folder.hpp"

namespace moemill::mill {

struct SmallJob {
  PreparedPrompt prompt;               // without fault
  std::vector<std::uint32_t> samples;  // to make
};
// Returns the rows of this rank's share of the jobs; shares are consecutive, in rank order. Collective; all ranks pass
// all jobs. The experts are spread over the whole world, whatever expert_domain says, so that the model fits if it fits
// at all. `loaded` is called with the engine before the first step; if it throws on any rank, all ranks throw.
GeneratedRows generate_rows(
    const Comm& world, const RunConfig& config, const ModelFolder& model, std::span<const SmallJob> jobs,
    const std::function<void(const Engine&)>& loaded = [](const Engine&) {});
// The part of the jobs that this rank generates.
template <class T>
std::span<T> share_of(const Comm& world, std::span<T> jobs) {
  const auto ranks = static_cast<std::size_t>(world.size()), rank = static_cast<std::size_t>(world.rank());
  const std::size_t first = jobs.size() * rank / ranks;
  return jobs.subspan(first, jobs.size() * (rank + 1) / ranks - first);
}

}  // namespace moemill::mill
