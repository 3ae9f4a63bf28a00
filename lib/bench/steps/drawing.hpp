// The draws that end a step of a benchmark, one for every wanted row, with the settings that `bench decode` and
// `bench prefill` name by --sampling. All have temperature 1 but greedy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/run_config.hpp"
#include "sample/requests.hpp"

namespace moemill::bench {

inline constexpr const char* sampling_names = "greedy, temperature, top_k (50), top_p (0.9) or logprobs (5)";

// UserError for an unknown name.
SamplingParams sampling_of(const std::string& name);

class Drawer {
 public:
  Drawer(const SamplingParams& params, std::uint32_t vocabulary);
  // Of the first `rows` rows of the last step of `model`: a Backend, or a forward pass.
  template <class Model>
  void draw(Model& model, std::size_t rows) {
    ask(rows);
    model.draw({.scores = {}, .logprobs = {}, .samples = requests_, .results = results_});
  }

 private:
  void ask(std::size_t rows);

  const SamplingParams params_;
  const std::size_t tops_per_row_;
  std::vector<sample::SampleRequest> requests_;
  std::vector<sample::SampleResult> results_;
  std::vector<sample::TokenLogprob> tops_;  // [rows, tops_per_row]
};

}  // namespace moemill::bench
