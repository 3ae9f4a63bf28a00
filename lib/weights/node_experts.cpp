#include "weights/node_experts.hpp"

#include <algorithm>
#include <numeric>

namespace moemill::model {

namespace {

void join(std::vector<GlobalExpert>& layer, std::span<const GlobalExpert> others) {
  layer.insert(layer.end(), others.begin(), others.end());
  std::sort(layer.begin(), layer.end());
  layer.erase(std::unique(layer.begin(), layer.end()), layer.end());
}

}  // namespace

void NodeExperts::add(const Placement& placement, DomainRank rank) {
  layers_.resize(placement.layers());
  for (std::uint32_t l = 0; l < placement.layers(); ++l)
    join(layers_[l], placement.layer({static_cast<std::int32_t>(l)}).slots(rank));
}

void NodeExperts::add(const NodeExperts& others) {
  layers_.resize(others.layers_.size());
  for (std::size_t l = 0; l < layers_.size(); ++l) join(layers_[l], others.layers_[l]);
}

std::vector<std::size_t> NodeExperts::counts() const {
  std::vector<std::size_t> counts;
  for (const auto& layer : layers_) counts.push_back(layer.size());
  return counts;
}

std::size_t NodeExperts::count() const {
  const std::vector<std::size_t> all = counts();
  return std::accumulate(all.begin(), all.end(), std::size_t{0});
}

}  // namespace moemill::model
