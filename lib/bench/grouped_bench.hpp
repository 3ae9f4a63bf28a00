// The part of `moemill bench attention` about grouped queries: the kernel over bf16 pages of one key-value head, for a
// generated token (pages cold in memory, where bytes count) and for a tile of prompt rows (pages at hand, where
// operations count).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "bench/options.hpp"
#include "bench/peak/peak.hpp"
#include "model/config.hpp"

namespace moemill::bench {

struct GroupedShape {
  std::uint32_t group;  // query heads that share a key-value head
  std::uint32_t head_dim;
  std::uint32_t window;  // positions seen; 0: all
};

// Of all threads together, each with a context of its own.
struct GroupedResult {
  GroupedShape shape;
  std::size_t tokens;        // of context, the row's own included
  std::size_t seen;          // of them, by the last row
  double bytes, operations;  // that a generated token needs
  double prompt_operations;  // that a tile of prompt rows needs
  Timing generated, prompt;  // seconds
};

std::vector<GroupedShape> grouped_shapes(const model::ModelConfig& config);
std::vector<GroupedResult> measure_grouped(cpu::Stream& stream, const KernelOptions& options,
                                           const std::vector<GroupedShape>& shapes);
// peak in operations a second, bandwidth in bytes a second.
void print_grouped(const std::vector<GroupedResult>& results, double peak, double bandwidth);
nlohmann::json grouped_json(const std::vector<GroupedResult>& results, double peak, double bandwidth);

}  // namespace moemill::bench
