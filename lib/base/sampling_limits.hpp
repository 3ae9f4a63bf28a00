// What a prompt may ask for, in run.yaml and in a column of prompts.h5 alike. Used by mill/config and dataset/options.
#pragma once

#include <cstdint>

namespace moemill::limits {

constexpr std::uint32_t samples = 65'536;       // n, at least 1
constexpr double temperature = 100;             // from 0 (greedy) on
constexpr std::uint32_t top_k = 1u << 30;       // 0 is off
constexpr std::uint32_t max_tokens = 1u << 30;  // 0 generates nothing
constexpr double repetition_penalty = 100;      // above 0; 1 is off
constexpr double other_penalties = 100;         // presence, frequency: from -100 on; 0 is off
constexpr std::uint32_t logprobs = 1000;        // 0: of the chosen token alone

}  // namespace moemill::limits
