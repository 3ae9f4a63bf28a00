#include "weights/cpu/weights.hpp"

#include "weights/cpu/layout.hpp"
#include "weights/load.hpp"

namespace moemill::model {

struct WeightsLoad::State {
  LoadOf<CpuLayout> load;
};

WeightsLoad::WeightsLoad(LoadRequest request, cpu::PairOrder order)
    : state_(new State{LoadOf<CpuLayout>(std::move(request), CpuLayout(order))}) {}
WeightsLoad::~WeightsLoad() = default;

std::uint64_t WeightsLoad::memory_bytes() const { return state_->load.memory_bytes(); }

std::uint64_t WeightsLoad::source() const { return state_->load.source(); }

Weights WeightsLoad::carry_out(NodeMemory memory, ThreadTeam& team, const std::function<void()>& between) {
  return state_->load.carry_out(std::move(memory), team, between);
}

Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format, ThreadTeam& team) {
  return load({dir, config, placement, rank, load_format}, CpuLayout(), team, [] {});
}

Weights load_weights(const std::string& dir, const ModelConfig& config, const Placement& placement, DomainRank rank,
                     const std::string& load_format) {
  ThreadTeam alone(1);
  return load_weights(dir, config, placement, rank, load_format, alone);
}

std::uint64_t weight_bytes(const ModelConfig& config, const Placement& placement, DomainRank rank) {
  return measure<CpuLayout>(config, placement, rank);
}

std::uint64_t weight_bytes(const ModelConfig& config, const NodeExperts& node) {
  const Placement none = contiguous_slices(config, config.moe.experts + 1);  // the first rank holds no expert
  return measure<CpuLayout>(config, {none, {0}, node, node});
}

HeldWeights held_weights(const ModelConfig& config) {
  const Placement all = contiguous_slices(config, 1);
  CpuLayout counting;
  const NodeExperts experts(all, {0});
  Loader(config, counting, PlanWriter(nullptr, nullptr)).walk({all, {0}, experts, experts});
  return counting.held();
}

}  // namespace moemill::model
