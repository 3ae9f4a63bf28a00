// The largest sampling settings that are accepted, in run.yaml and in columns of prompts.h5. Used by config/ and
// dataset/prompts/options.
#pragma once

#include <cstdint>

namespace moemill::limits {

constexpr std::uint32_t samples = 65'536;       // of n, which is at least 1
constexpr double temperature = 100;             // from 0 (greedy)
constexpr std::uint32_t top_k = 1u << 30;       // 0 means off
constexpr std::uint32_t max_tokens = 1u << 30;  // 0 generates nothing
constexpr double repetition_penalty = 100;      // above 0; 1 means off
constexpr double other_penalties = 100;         // presence and frequency, from -100; 0 means off
constexpr std::uint32_t logprobs = 1000;        // 0: only the chosen token

}  // namespace moemill::limits
