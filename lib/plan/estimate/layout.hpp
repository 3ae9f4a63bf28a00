// How GPUs share a model: attention's rows are divided over the GPUs of a group, its experts too, and rows travel to
// their experts. Part of the question to the step model.
#pragma once

#include <cstdint>
#include <optional>

#include "model/config.hpp"
#include "plan/estimate/hardware.hpp"

namespace moemill::estimate {

// What is sent of a row with k picks:
enum class Exchange {
  EveryCopy,  // k copies, straight to the experts' GPUs (low latency, for generated rows)
  OnceANode,  // one copy per node over the network, from there to the GPUs over the fast links
  OnceAGpu,   // one copy per GPU that has one of its experts
  AllGather,  // every row to every GPU
};

// Whose load decides the time of the experts: that of the group's busiest GPU. Balanced: redundant experts are placed
// by load. Perfect: every GPU has the same load, as in benchmarks with artificial routing.
enum class Balance { None, Balanced, Perfect };

struct Layout {
  std::uint32_t gpus = 1;  // of the group
  Exchange exchange = Exchange::EveryCopy;
  std::uint32_t micro_batches = 1;  // 2: one computes while the other one's rows travel
  Balance balance = Balance::None;
  std::uint32_t redundant_experts = 0;  // slots of the group beyond one per expert
  std::uint32_t most_nodes = 0;         // that a row's experts may lie on; 0: any number

  double slots_per_gpu(const model::ModelConfig& model) const {
    return static_cast<double>(model.moe.experts + redundant_experts) / gpus;
  }
  // Nodes of the group, or fast-link domains where these are larger.
  std::uint32_t domains(const Hardware& hardware) const {
    return (gpus + hardware.scale_up_gpus - 1) / hardware.scale_up_gpus;
  }
  // Load of the busiest GPU over the mean.
  double imbalance(const Efficiencies& efficiencies) const;
};

// {gpus, exchange, micro_batches, balance, redundant_experts, most_nodes}. Without redundant_experts the fewest that
// fill every GPU's slots. UserError if slots do not divide evenly, or if a group of several domains has no network.
Layout read_layout(const Section& section, std::string_view key, const model::ModelConfig& model,
                   const Hardware& hardware);

}  // namespace moemill::estimate
