// The draws that end a step of `bench decode` and `bench prefill`, one for every wanted row, with the settings that
// --sampling names. All have temperature 1 but greedy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "generate/backend/backend.hpp"
#include "sample/requests.hpp"

namespace moemill::bench {

inline constexpr const char* sampling_names = "greedy, temperature, top_k (50), top_p (0.9) or logprobs (5)";

// UserError for an unknown name.
SamplingParams sampling_of(const std::string& name);

class Drawer {
 public:
  Drawer(const SamplingParams& params, std::uint32_t vocabulary);
  void draw(mill::Backend& backend, std::size_t rows);

 private:
  const SamplingParams params_;
  const std::size_t tops_per_row_;
  std::vector<sample::SampleRequest> requests_;
  std::vector<sample::SampleResult> results_;
  std::vector<sample::TokenLogprob> tops_;  // [rows, tops_per_row]
};

}  // namespace moemill::bench
