// `moemill verify`: dataset's checks, and with --replay the proof that rows are what the model says: some are generated
// again here, alone, and compared byte for byte.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "dataset/verify.hpp"

namespace moemill::mill {

struct VerifyRunRequest {
  std::string dir;
  dataset::VerifyDepth depth = dataset::VerifyDepth::Form;
  std::uint64_t replay = 0;  // rows to generate again
  std::uint64_t seed = 0;    // picks them
};
// Tells what was checked and what is wrong on stdout. Done, or Internal (exit 1) with faults.
ExitCode verify(const VerifyRunRequest& request);

// The rows that differ, one line each.
std::vector<std::string> replay(const VerifyRunRequest& request, const RunConfig& config,
                                const dataset::PromptFile& prompts);

}  // namespace moemill::mill
