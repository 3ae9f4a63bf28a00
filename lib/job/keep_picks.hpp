// picks.h5 of a run whose runtime.record_picks asks for it. Called by run_job at the end of an attempt.
#pragma once

#include <string>

#include "dataset/run_dir/run_dir.hpp"
#include "generate/engine.hpp"
#include "model/config.hpp"

namespace moemill::mill {

// On rank 0, in place of an earlier attempt's. A file that cannot be written is a warning: the answers are what counts.
// The engine's record is empty afterwards.
void keep_picks(Engine& engine, const model::ModelConfig& model, const dataset::RunManifest& run,
                const std::string& path);

}  // namespace moemill::mill
