// `moemill preview`: prints the first prompts as the model receives them, and a short generation for each. One process.
#pragma once

#include <cstdint>

#include "base/error.hpp"
#include "base/run_config.hpp"

namespace moemill::mill {

struct PreviewRequest {
  RunConfig config;
  std::uint64_t prompts = 3;
  std::uint32_t max_tokens = 32;  // most new tokens per prompt
};
ExitCode preview(const PreviewRequest& request);

}  // namespace moemill::mill
