// The part of `moemill bench attention` about grouped queries: the kernel over bf16 pages of one key-value head, for a
// generated token (pages in memory, where bytes are the bound) and for a tile of prompt rows (pages in cache, where
// operations are the bound).
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
  std::uint32_t window;  // visible positions; 0: all
};

// A measurement of all threads together, each with a context of its own.
struct GroupedResult {
  GroupedShape shape;
  std::size_t tokens;        // of the context, including the row itself
  std::size_t seen;          // tokens that the last row sees
  double bytes, operations;  // needed by a generated token
  double prompt_operations;  // needed by a tile of prompt rows
  Timing generated, prompt;  // seconds
};

std::vector<GroupedShape> grouped_shapes(const model::ModelConfig& config);
std::vector<GroupedResult> measure_grouped(cpu::Stream& stream, const KernelOptions& options,
                                           const std::vector<GroupedShape>& shapes);
// `peak` in operations per second, `bandwidth` in bytes per second.
void print_grouped(const std::vector<GroupedResult>& results, double peak, double bandwidth);
nlohmann::json grouped_json(const std::vector<GroupedResult>& results, double peak, double bandwidth);

}  // namespace moemill::bench
