// --retry-failed and --extend: how an existing run is changed. Rank 0 does it under the run's lock and before the
// attempt begins; the attempt then finds an ordinary unfinished run. Used by open_run.
#pragma once

#include <string>
#include <vector>

#include "dataset/run_dir/counts.hpp"
#include "job/run_setup.hpp"

namespace moemill::mill {

// The keys of run.yaml that may differ from the run's own because the request asks for a change.
std::vector<std::string> changeable_keys(const RunRequest& request);

// Whether the input still begins with the run's prompts, equal in everything except n and max_tokens.
bool begins_with_the_same(const dataset::RunManifest& manifest, const RunConfig& config,
                          const dataset::PromptFile& prompts);
// The manifest's hash of the first `count` prompts for that comparison. Reads the prompts.
constexpr const char* prompts_fingerprint = "prompts_sha256";
std::string hash_prompts(const RunConfig& config, const dataset::PromptFile& prompts, std::uint64_t count);

// The run's settings: config.yaml, with the values of a change that was interrupted.
RunConfig config_of_run(const dataset::RunPaths& paths, const dataset::RunManifest& manifest);

// Completes a change that a kill interrupted.
void finish_change(const dataset::RunPaths& paths, dataset::RunManifest& manifest, const ModelFolder& model,
                   const dataset::PromptFile& prompts);
// Makes the change if there is one, and reports what stays as it is. UserError, without changing anything, if existing
// rows would have to be different. A dry run makes the same checks and writes nothing.
enum class ChangeStep { Make, Ask };
void change_run(const RunRequest& request, const dataset::RunPaths& paths, dataset::RunManifest& manifest,
                const ModelFolder& model, const dataset::PromptFile& prompts, const Fingerprints& fingerprints,
                const dataset::RunCounts& counts, ChangeStep step);

// Text such as "2 too_long, 1 empty".
std::string codes_text(const std::map<std::string, std::uint64_t>& failed_by_code);

}  // namespace moemill::mill
