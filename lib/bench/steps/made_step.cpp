#include "bench/steps/made_step.hpp"

#include "base/numbers/random.hpp"
#include "base/numbers/rounding.hpp"

namespace moemill::bench {

using schedule::RowKind;
using schedule::Step;

Share share(std::uint32_t sequences, const Comm& world) {
  const auto rank = static_cast<std::uint64_t>(world.rank()), ranks = static_cast<std::uint64_t>(world.size());
  const auto first = static_cast<std::uint32_t>(rank * sequences / ranks);
  return {first, static_cast<std::uint32_t>((rank + 1) * sequences / ranks) - first};
}

std::uint32_t pages_of(std::uint32_t tokens) { return divide_up(tokens, schedule::page_tokens); }

std::array<bool, schedule::page_groups> groups_of(const model::ModelConfig& config) {
  const std::uint32_t windowed = model::windowed_layers(config);
  return {windowed<config.layers, windowed> 0};
}

Step make_step(Share sequences, RowKind kind, std::uint32_t first, std::uint32_t rows, std::uint64_t key,
               const model::ModelConfig& config) {
  Step step;
  const auto groups = groups_of(config);
  const std::uint32_t pages = pages_of(first + rows);
  for (std::uint32_t s = 0; s < sequences.count; s++) {
    step.segments.push_back({kind, step.rows(), rows, first, s * pages, pages});
    for (std::size_t g = 0; g < groups.size(); g++) {
      for (std::uint32_t p = 0; groups[g] && p < pages; p++)
        step.pages[g].push_back({static_cast<std::int32_t>(s * pages + p)});
    }
    for (std::uint32_t r = 0; r < rows; r++) {
      step.tokens.push_back(static_cast<TokenId>(philox(key, sequences.first + s, first + r)[0] % config.vocabulary));
      step.positions.push_back(first + r);
    }
    step.logit_rows.push_back(step.rows() - 1);
  }
  return step;
}

}  // namespace moemill::bench
