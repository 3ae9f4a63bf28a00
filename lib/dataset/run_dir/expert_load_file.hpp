// expert_load.json of a run directory: how often the run's attempts have picked each expert. Written by the job at the
// end of an attempt if parallel.rebalance.policy is measured, and read by the next one, which places experts by it. It
// may be copied to another run of the model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moemill::dataset {

constexpr std::int64_t expert_load_format_version = 1;
constexpr std::uint64_t most_expert_load_bytes = std::uint64_t{64} << 20;  // of the file

struct MeasuredLoad {
  std::string model_type;
  std::string model_sha256;           // as in outputs.h5
  std::uint32_t experts = 0;          // of a layer
  std::vector<std::int32_t> layers;   // with experts, ascending
  std::vector<std::uint64_t> counts;  // [layers, experts], each at most 2^53

  // Whether the counts are of that model's experts.
  bool is_of(const MeasuredLoad& other) const;
  // Adds those of the same model; they stop at 2^53.
  void add(const MeasuredLoad& other);
};

// The file is whole or absent, whatever happens meanwhile. SystemError if it cannot be written.
void write_expert_load(const std::string& path, const MeasuredLoad& load);
// Nothing if there is no such file. UserError with path and cause if it is damaged, or too large.
std::optional<MeasuredLoad> read_expert_load(const std::string& path);

}  // namespace moemill::dataset
