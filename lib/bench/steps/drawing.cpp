#include "bench/steps/drawing.hpp"

#include <algorithm>
#include <span>

#include "base/error.hpp"

namespace moemill::bench {

SamplingParams sampling_of(const std::string& name) {
  SamplingParams params;
  if (name == "greedy")
    params.temperature = 0;
  else if (name == "top_k")
    params.top_k = 50;
  else if (name == "top_p")
    params.top_p = 0.9f;
  else if (name == "logprobs")
    params.logprobs = 5;
  else if (name != "temperature")
    user_error("bench: --sampling is {}, not '{}'", sampling_names, name);
  return params;
}

Drawer::Drawer(const SamplingParams& params, std::uint32_t vocabulary)
    : params_(params), tops_per_row_(std::min(params.logprobs.value_or(0), vocabulary)) {}

void Drawer::ask(std::size_t rows) {
  requests_.assign(rows, {});
  results_.resize(rows);
  tops_.resize(rows * tops_per_row_);
  for (std::size_t i = 0; i < rows; i++) {
    requests_[i].row = static_cast<std::uint32_t>(i);
    requests_[i].params = &params_;
    requests_[i].seed = i;
    requests_[i].top = std::span(tops_).subspan(i * tops_per_row_, tops_per_row_);
  }
}

}  // namespace moemill::bench
