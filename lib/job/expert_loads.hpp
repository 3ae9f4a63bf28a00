// What a run keeps about the load of its experts: RUN_DIR/expert_load.json (dataset/run_dir/expert_load_file.hpp), by
// which an attempt places them (parallel.rebalance.policy: measured). Called by rank 0 of run_job.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/run_config.hpp"
#include "dataset/run_dir/run_dir.hpp"
#include "model/config.hpp"
#include "system/comm/comm.hpp"

namespace moemill::mill {

// [layers with experts, experts] the counts that earlier attempts have left, or another run whose file was copied here;
// empty if there are none, or the policy is none. A file that is damaged, or of another model, is ignored with a
// warning. Collective.
std::vector<std::uint64_t> loads_of_run(const Comm& world, const RunConfig& config, const model::ModelConfig& model,
                                        const dataset::RunManifest& run, const dataset::RunPaths& paths);

// Adds an attempt's counts to those of the file, which it replaces if it is none of this model. On rank 0; a file that
// cannot be written is a warning, because no row depends on it.
void keep_loads(const RunConfig& config, const model::ModelConfig& model, const dataset::RunManifest& run,
                const dataset::RunPaths& paths, std::span<const std::uint64_t> counts);

}  // namespace moemill::mill
