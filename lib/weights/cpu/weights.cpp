#include "weights/cpu/weights.hpp"

#include "weights/cpu/layout.hpp"
#include "weights/load.hpp"

namespace moemill::model {

Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format, ThreadTeam& team, const std::function<void()>& between,
                     cpu::PairOrder order) {
  return load({dir, config, placement, rank, load_format}, CpuLayout(order), team, between);
}

Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format) {
  ThreadTeam alone(1);
  return load_weights(dir, config, placement, rank, load_format, alone);
}

std::uint64_t weight_bytes(const ModelConfig& config, const Placement& placement, DomainRank rank) {
  return measure<CpuLayout>(config, placement, rank);
}

HeldWeights held_weights(const ModelConfig& config) {
  CpuLayout counting;
  Loader(config, counting, PlanWriter(nullptr, nullptr)).walk(contiguous_slices(config, 1), {0});
  return counting.held();
}

}  // namespace moemill::model
