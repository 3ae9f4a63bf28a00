#include "dataset/prompts/read_rows.hpp"

#include <utility>

namespace moemill::dataset {
namespace {

constexpr std::uint64_t near = 8;  // rows between two that are read in vain: that costs less than another read

}  // namespace

std::vector<Prompt> read_rows(const PromptFile& prompts, std::span<const std::uint64_t> rows,
                              const SamplingParams& defaults) {
  std::vector<Prompt> all;
  for (std::size_t first = 0, end = 0; first < rows.size(); first = end) {
    for (end = first + 1; end < rows.size() && rows[end] - rows[end - 1] <= near;) ++end;
    std::vector<Prompt> read = prompts.read(rows[first], rows[end - 1] + 1 - rows[first], defaults);
    for (std::size_t i = first; i < end; ++i) all.push_back(std::move(read[rows[i] - rows[first]]));
  }
  return all;
}

}  // namespace moemill::dataset
